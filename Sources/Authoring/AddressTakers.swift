import Addresses
import ELFImage
import PatchFile
import Patchability

/// Finds who has the address of a function of the base, and may call it by that.
struct AddressTakers {
    private let base: BaseObject
    private let space: BaseCode
    private let decoder: FunctionDecoder
    /// Code that the patch replaces: it takes the address of the new one.
    private let replaced: [AddressRange<LinkAddress>]

    init(
        base: BaseObject, replaced: [AddressRange<LinkAddress>], decoder: FunctionDecoder
    ) {
        self.base = base
        self.replaced = replaced
        self.decoder = decoder
        space = BaseCode(base: base)
    }

    /// The first place that has the address of the function at `entry`: code, or what
    /// people call the data.
    func first(of entry: LinkAddress) throws(AuthoringError) -> String? {
        do throws(ELFError) {
            if let word = try words(with: entry).min() { return name(ofData: word) }
            return try code(with: entry).map { base.catalog.place($0).description }
        } catch {
            throw AuthoringError.base(error)
        }
    }

    // MARK: - Data

    /// The words that hold the address once the base is loaded.
    private func words(with entry: LinkAddress) throws(ELFError) -> [LinkAddress] {
        let table = try base.image.symbolTable(.dynamic)
        var found: [LinkAddress] = []
        for relocation in try base.image.dynamicRelocations() {
            switch relocation.type {
            case .relative:
                if UInt64(bitPattern: relocation.addend) == entry.rawValue {
                    found.append(relocation.offset)
                }
            case .absolute64, .globalData:
                let symbol = table?[Int(relocation.symbolIndex)]
                if let symbol, !symbol.isUndefined, relocation.addend == 0, symbol.value == entry {
                    found.append(relocation.offset)
                }
            default: continue
            }
        }
        guard base.kind == .executable else { return found }
        // A program that is not moved has them in its file as they are.
        for section in base.image.sections
        where section.type == .programBits && section.flags.contains(.allocated)
            && !section.isExecutable && section.name != ".eh_frame"
        {
            guard let range = section.range else { continue }
            let bytes = try base.image.bytes(of: section)
            for offset in stride(from: 0, to: max(bytes.count - 7, 0), by: 8)
            where bytes.load(offset, as: UInt64.self) == entry.rawValue {
                found.append(range.start.wrapping(by: Int64(offset)))
            }
        }
        return found
    }

    private func name(ofData address: LinkAddress) -> String {
        let section = base.image.section(at: address)?.name ?? "its data"
        guard let holder = base.dataName(at: address) else {
            return "the word at \(address) (\(section))"
        }
        return "'\(holder)' (\(section), \(address))"
    }

    // MARK: - Code

    /// An instruction that loads the address: `lea f(%rip)`, or a number in the code of
    /// a program that is not moved.
    private func code(with entry: LinkAddress) throws(ELFError) -> LinkAddress? {
        for section in base.image.sections
        where section.isExecutable && section.type == .programBits {
            guard let range = section.range else { continue }
            let bytes = try base.image.bytes(of: section)
            for place in places(of: entry, in: bytes, at: range.start) where takes(place, entry) {
                return place
            }
        }
        return nil
    }

    /// Wherever four bytes are the address, or the distance to it.
    private func places(
        of entry: LinkAddress, in bytes: ByteView, at start: LinkAddress
    ) -> [LinkAddress] {
        unsafe bytes.withUnsafeBytes { bytes in
            var found: [LinkAddress] = []
            for offset in 0..<max(bytes.count - 3, 0) {
                let value = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)
                let place = start.rawValue &+ UInt64(offset)
                let far = place &+ 4 &+ UInt64(bitPattern: Int64(value))
                if far == entry.rawValue || UInt64(bitPattern: Int64(value)) == entry.rawValue {
                    found.append(LinkAddress(rawValue: place))
                }
            }
            return found
        }
    }

    /// Whether the instruction around `place` is one that stays and takes the address.
    private func takes(_ place: LinkAddress, _ entry: LinkAddress) -> Bool {
        guard !replaced.contains(where: { $0.contains(place) }),
            let function = space.function(containing: place)
        else { return false }
        for found in decoder.instructions(of: function, in: space) {
            guard let instruction = found?.instruction, instruction.address <= place,
                place < instruction.end
            else { continue }
            if instruction.target != nil { return false }
            return instruction.operands.contains { operand in
                switch operand {
                case .immediate(let value): UInt64(bitPattern: value) == entry.rawValue
                case .memory(let memory):
                    memory.isRIPRelative
                        && instruction.end.wrapping(by: memory.displacement) == entry
                case .register: false
                }
            }
        }
        return false
    }
}
