import HotpatchKit

extension ExaminedObject {
    /// Why a name may not be found though the function is there: the object is
    /// stripped. nil where it is not.
    ///
    /// - Parameter catalog: the object's.
    func adviceOnMissingNames(_ catalog: FunctionCatalog) -> String? {
        guard debugFiles.found == nil, image.section(named: ".symtab") == nil else { return nil }
        let count = catalog.count { $0.kind == .unnamed }
        guard count > 0 else { return nil }
        let advice =
            "'\(image.name)' is stripped: \(count) function\(count == 1 ? " has no name" : "s have no names"); "
            + "install its debug symbols (a package called -dbgsym, -dbg or -debuginfo)"
        // A link that cannot be read was no use before, either.
        guard let link = try? image.debugLink() else { return advice }
        return advice
            + ", or put its debug file '\(link.fileName)', which is not found, beside it"
    }
}
