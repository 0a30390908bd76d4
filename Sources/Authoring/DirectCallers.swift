import Addresses
import ELFImage
import Patchability

/// A function that calls or jumps to another by its address, so that the compiler
/// may have known the callee when it compiled the caller.
struct DirectCaller {
    /// The call.
    let place: Place
    /// What the caller uses of the registers, anywhere.
    let uses: RegisterSet
    let usesWideVectors: Bool
}

/// Finds direct calls and jumps to functions of the base.
struct DirectCallers {
    private struct Reference {
        let from: LinkAddress
        let isCall: Bool
    }

    private let base: BaseObject
    private let space: BaseCode
    private let decoder: FunctionDecoder
    private let regions: [(range: AddressRange<LinkAddress>, bytes: ByteView)]
    /// Code that the patch replaces: what it does not run any more calls nobody.
    private let replaced: [AddressRange<LinkAddress>]
    /// The entries of functions that are replaced, and run when the fix calls them.
    private let called: Set<LinkAddress>

    init(
        base: BaseObject, replaced: [AddressRange<LinkAddress>], called: Set<LinkAddress>,
        decoder: FunctionDecoder
    ) throws(AuthoringError) {
        self.base = base
        space = BaseCode(base: base)
        self.decoder = decoder
        self.replaced = replaced
        self.called = called
        var regions: [(range: AddressRange<LinkAddress>, bytes: ByteView)] = []
        do throws(ELFError) {
            for section in base.image.sections
            where section.isExecutable && section.type == .programBits {
                guard let range = section.range else { continue }
                regions.append((range, try base.image.bytes(of: section)))
            }
        } catch {
            throw AuthoringError.base(error)
        }
        self.regions = regions
    }

    /// The callers of the function at `entry`. Who jumps to it is no end: a value
    /// may be kept across the call of the one that jumps, so its callers count too.
    func callers(of entry: LinkAddress) -> [DirectCaller] {
        var result: [DirectCaller] = []
        var entries: Set<LinkAddress> = [entry]
        var queue = [entry]
        while let next = queue.popLast() {
            for reference in references(to: next) {
                let function = space.function(containing: reference.from)
                // A function that calls itself is not run any more either.
                if function?.entry == entry && !called.contains(entry)
                    || replaced.contains(where: { $0.contains(reference.from) })
                {
                    continue
                }
                result.append(caller(at: reference.from, in: function))
                if !reference.isCall, let start = function?.entry, entries.insert(start).inserted {
                    queue.append(start)
                }
            }
        }
        return result.sorted { $0.place.address < $1.place.address }
    }

    private func caller(at place: LinkAddress, in function: CodeFunction?) -> DirectCaller {
        var uses: RegisterSet = []
        var wide = false
        // Code that belongs to no known function may use anything.
        let instructions = function.map { decoder.instructions(of: $0, in: space) } ?? [nil]
        for instruction in instructions {
            guard let instruction = instruction?.instruction else {
                uses = RegisterSet(rawValue: .max)
                wide = true
                continue
            }
            uses.formUnion(instruction.reads.union(instruction.writes))
            wide = wide || instruction.usesWideVectors
        }
        return DirectCaller(
            place: base.catalog.place(place), uses: uses, usesWideVectors: wide)
    }

    /// Looks at every byte for a displacement that leads to `target`, so that
    /// nothing is missed, and then whether an instruction really stands there.
    private func references(to target: LinkAddress) -> [Reference] {
        var found: [Reference] = []
        for region in regions {
            for candidate in Self.candidates(region, target.rawValue)
            where isInstruction(at: candidate.from) {
                found.append(candidate)
            }
        }
        return found
    }

    private static func candidates(
        _ region: (range: AddressRange<LinkAddress>, bytes: ByteView), _ target: UInt64
    ) -> [Reference] {
        unsafe region.bytes.withUnsafeBytes { bytes in
            var found: [Reference] = []
            let start = region.range.start.rawValue
            for offset in 0..<bytes.count {
                let opcode = unsafe bytes[offset]
                let place = start &+ UInt64(offset)
                // e8 call rel32, e9 jmp rel32, eb jmp rel8, 70–7f jcc rel8,
                // 0f 80–8f jcc rel32 (SDM vol. 2, CALL, JMP, Jcc).
                switch opcode {
                case 0xe8, 0xe9:
                    guard offset + 5 <= bytes.count else { continue }
                    let delta = unsafe bytes.loadUnaligned(
                        fromByteOffset: offset + 1, as: Int32.self)
                    if place &+ 5 &+ UInt64(bitPattern: Int64(delta)) == target {
                        found.append(
                            Reference(
                                from: LinkAddress(rawValue: place), isCall: opcode == 0xe8))
                    }
                case 0x0f:
                    guard offset + 6 <= bytes.count, unsafe bytes[offset + 1] & 0xf0 == 0x80 else {
                        continue
                    }
                    let delta = unsafe bytes.loadUnaligned(
                        fromByteOffset: offset + 2, as: Int32.self)
                    if place &+ 6 &+ UInt64(bitPattern: Int64(delta)) == target {
                        found.append(
                            Reference(from: LinkAddress(rawValue: place), isCall: false))
                    }
                case 0xeb, 0x70...0x7f:
                    guard offset + 2 <= bytes.count else { continue }
                    let delta = unsafe Int8(bitPattern: bytes[offset + 1])
                    if place &+ 2 &+ UInt64(bitPattern: Int64(delta)) == target {
                        found.append(
                            Reference(from: LinkAddress(rawValue: place), isCall: false))
                    }
                default: continue
                }
            }
            return found
        }
    }

    /// Whether the walk through the function around `place` comes by it. A prefix
    /// may stand before it (`bnd call`). Where there is no function, or its code
    /// is not known, the answer is yes.
    private func isInstruction(at place: LinkAddress) -> Bool {
        guard let function = space.function(containing: place) else { return true }
        for instruction in decoder.instructions(of: function, in: space) {
            guard let instruction = instruction?.instruction else { return true }
            if instruction.address <= place && place < instruction.end {
                let isBranch = [.call, .jump, .conditionalJump].contains(instruction.flow)
                return isBranch && instruction.target != nil
            }
        }
        return false
    }
}
