import Addresses
import ELFImage

/// Thread-local variables of the base in code that comes along.
extension PatchAssembly {
    /// What the linker of the base would have made of code that asks for a thread-local
    /// variable: a program's are at known distances from the thread pointer.
    func relaxation(_ line: CodeLine, _ atom: Atom) -> Relaxation? {
        guard base.image.kind != .sharedObject else { return nil }
        return Relaxation.forms(of: line, in: atom).first {
            guard let kind = RelocationKind(rawValue: $0.relocation.type.rawValue) else {
                return false
            }
            return kind.asksForBlock && [.threadOffset, .block].contains($0.meaning)
        }
    }

    mutating func write(
        _ form: Relaxation, _ line: CodeLine, of place: AtomPlace, _ output: Int
    ) throws(ChangeError) {
        writer.overwrite(form.bytes, at: line.offset, in: output)
        guard let field = form.field else { return }
        let destination = try changes.destination(of: form.relocation, in: place, lead: 4)
        var value: UInt32 = 0
        // The place of all of them is the thread pointer itself, from which they count.
        if case .name(Relaxation.blockName, _, _) = destination {
        } else if let found = try threadOffset(destination, in: place) {
            value = found
        } else {
            throw foreignVariable(form.relocation, in: place)
        }
        writer.overwrite(littleEndian(value), at: line.offset + field, in: output)
    }

    func foreignVariable(_ relocation: Relocation, in place: AtomPlace) -> ChangeError {
        let object = changes.comparisons[place.object].after
        return .foreignThreadLocal(
            object: object.name, function: changes.atom(place)?.name ?? "",
            symbol: object.targetName(of: relocation), base: base.name)
    }

    /// The distance from the thread pointer of a thread-local variable of a program.
    func threadOffset(
        _ destination: ChangeSet.Destination, in place: AtomPlace
    ) throws(ChangeError) -> UInt32? {
        func refuse(_ symbol: String) -> ChangeError {
            .threadLocalAccess(
                object: changes.name(of: place), function: changes.atom(place)?.name ?? "",
                symbol: symbol)
        }
        guard let start = try blockOffset(destination) else {
            if case .name(let name, _, _) = destination { throw refuse(name) }
            return nil
        }
        guard base.image.kind != .sharedObject, let end = base.image.threadPointerOffset else {
            throw refuse("thread-local data")
        }
        return Int32(exactly: start &- Int64(clamping: end)).map(UInt32.init(bitPattern:))
    }

    /// The distance from the start of the base's thread-local block of a variable of it.
    func blockOffset(
        _ destination: ChangeSet.Destination
    ) throws(ChangeError) -> Int64? {
        switch destination {
        case .base(let home, let offset):
            guard case .threadLocal(let found) = try locators[home.object].datum(home.section)
            else {
                return nil
            }
            return Int64(bitPattern: found) &+ offset
        case .name(let name, let offset, _):
            if case .threadLocal(let start)? = place(of: name) {
                return Int64(bitPattern: start) &+ offset
            }
            let found = base.definitions(of: name).filter { $0.kind == .threadLocal }
            guard found.count == 1, let only = found.first else { return nil }
            return Int64(bitPattern: only.address.rawValue) &+ offset
        default:
            return nil
        }
    }
}
