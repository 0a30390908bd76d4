import Addresses
import PatchFile
import Patchability
import SystemPackage

/// Looks for machine code of the replaced functions that would stay in use: clones,
/// and copies that are inlined in functions which the patch does not replace.
struct CopySearch {
    private let base: BaseObject
    private let debug: DebugInformation
    /// The code that is not run any more, parts that stand apart included.
    private let replaced: [AddressRange<LinkAddress>]
    private let callers: DirectCallers

    /// - Parameter called: those of `functions` whose originals the fix calls.
    init(
        base: BaseObject, functions: [BaseFunction], called: Set<LinkAddress>,
        callers: DirectCallers
    ) {
        self.base = base
        self.callers = callers
        let names = Set(functions.flatMap { [$0.name] + $0.record.names.map(\.text) })
        debug = DebugInformation(of: base.debugPath, names: names.sorted())
        replaced = functions.filter { !called.contains($0.address) }
            .flatMap { [$0.record.range] + base.fragments(of: $0) }
    }

    func copies(of function: BaseFunction) -> [RemainingCopy] {
        // Compilers redirect calls to clones, and give nobody their addresses: one
        // that only replaced code calls is not used any more.
        let clones = base.clones(of: function).filter {
            !isReplaced($0.address) && !callers.callers(of: $0.address).isEmpty
        }.map {
            RemainingCopy(
                kind: .clone, function: $0.record.displayName, address: $0.address)
        }
        return clones + inlinedCopies(of: function)
    }

    /// Whether the debug information covers the unit of the function, so that
    /// every copy of it is known.
    func isCovered(_ function: BaseFunction) -> Bool {
        debug.coverage == .complete && !definitions(of: function).isEmpty
    }

    private func definitions(of function: BaseFunction) -> [DebugInformation.Function] {
        debug.functions.filter { $0.address == function.address }
    }

    /// A copy is one of this function where it was written at the same place:
    /// local functions of other sources may have the same name.
    private func inlinedCopies(of function: BaseFunction) -> [RemainingCopy] {
        let definitions = definitions(of: function)
        // What it has of itself belongs to it, should it be called.
        let own = [function.record.range] + base.fragments(of: function)
        return debug.copies.filter { copy in
            !isReplaced(copy.address) && !own.contains { $0.contains(copy.address) }
                && definitions.contains {
                    $0.name == copy.name && $0.line == copy.line && $0.file == copy.file
                }
        }.map { copy in
            RemainingCopy(
                kind: .inlined,
                function: copy.container ?? base.catalog.place(copy.containerAddress).description,
                address: copy.address,
                sourceFile: copy.callFile.flatMap { FilePath($0).lastComponent?.string },
                line: copy.callLine > 0 ? Int64(copy.callLine) : nil)
        }.sorted { $0.address < $1.address }
    }

    private func isReplaced(_ address: LinkAddress) -> Bool {
        replaced.contains { $0.contains(address) }
    }
}
