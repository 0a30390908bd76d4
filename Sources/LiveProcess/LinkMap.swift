import Addresses
import ELFImage

extension TargetProcess {
    /// The objects in the order in which the dynamic linker looks symbols up:
    /// the link map of the main namespace. A static program gives itself alone,
    /// and so does a program whose dynamic linker has not run yet.
    ///
    /// The list is read from the program's own memory, so it is believed only
    /// where it leads to objects that are mapped, and to each of them once.
    public func symbolLookupOrder(
        of objects: [LoadedObject]
    ) throws(LiveProcessError) -> [LoadedObject] {
        guard let program = objects.first(where: \.isProgram) else { return [] }
        guard let head = try linkMapHead(of: program) else { return [program] }
        var order: [LoadedObject] = []
        var seen: Set<RemoteAddress> = []
        var next = head
        while next.rawValue != 0 {
            guard seen.insert(next).inserted, seen.count <= 65536 else {
                throw .malformed(
                    id, place: "link map", rule: "the list does not end", value: next.rawValue)
            }
            // struct link_map (<link.h>): l_addr, l_name, l_ld, l_next, l_prev.
            let entry = ByteView(try read(next, count: 40))
            guard let dynamic = entry.load(16, as: UInt64.self),
                let following = entry.load(24, as: UInt64.self)
            else { break }
            if let object = objects.first(where: {
                $0.range.contains(RemoteAddress(rawValue: dynamic))
            }), !order.contains(where: { $0.range == object.range }) {
                order.append(object)
            }
            next = RemoteAddress(rawValue: following)
        }
        return order
    }

    /// Whether the dynamic linker has mapped all that it was to map: its list is
    /// complete (RT_CONSISTENT). Code of what it has mapped may run from then on.
    ///
    /// false where there is no dynamic linker, or none that has begun.
    public func hasCompleteLinkMap(_ program: LoadedObject) throws(LiveProcessError) -> Bool {
        guard let debug = try linkerRecord(of: program) else { return false }
        // struct r_debug: r_version at 0, r_map at 8, r_state at 24. musl fills in the
        // version when it is done.
        let record = ByteView(try read(debug, count: 28))
        return record.load(0, as: UInt32.self) != 0 && record.load(8, as: UInt64.self) != 0
            && record.load(24, as: UInt32.self) == 0
    }

    /// Where the first entry is; nil without a dynamic linker.
    private func linkMapHead(of program: LoadedObject) throws(LiveProcessError) -> RemoteAddress? {
        guard let debug = try linkerRecord(of: program) else { return nil }
        let head = ByteView(try read(debug, count: 16))
        guard let address = head.load(8, as: UInt64.self), address != 0 else { return nil }
        return RemoteAddress(rawValue: address)
    }

    /// DT_DEBUG of the program leads to struct r_debug (<link.h>).
    private func linkerRecord(of program: LoadedObject) throws(LiveProcessError) -> RemoteAddress? {
        guard let section = program.dynamicSection else { return nil }
        let entries = ByteView(try read(section.start, count: Int(section.count & ~15)))
        var debug: UInt64 = 0
        for offset in stride(from: 0, to: entries.count, by: 16) {
            guard let tag = entries.load(offset, as: UInt64.self), tag != 0 else { break }
            if tag == 21 { debug = entries.load(offset + 8, as: UInt64.self) ?? 0 }
        }
        return debug == 0 ? nil : RemoteAddress(rawValue: debug)
    }
}
