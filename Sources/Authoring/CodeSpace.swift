import Addresses
import ELFImage
import Patchability

/// Linked code that functions are followed through: that of the base, or that of
/// the fix laid out as if it were linked.
protocol CodeSpace {
    /// The bytes of a range that lies in code; nil for any other.
    func code(_ range: AddressRange<LinkAddress>) -> ByteView?
    func target(at address: LinkAddress) -> CodeTarget
}

/// Where a direct call or jump leads.
enum CodeTarget {
    case function(CodeFunction)
    /// A function of another object, by a PLT stub: nothing is known of it.
    case foreign
    /// Code that no symbol and no unwind table tells of.
    case unknown
}

/// A function with all its parts.
struct CodeFunction: Hashable {
    let name: String
    /// The function itself first, then the parts that stand apart.
    let ranges: [AddressRange<LinkAddress>]

    var entry: LinkAddress? { ranges.first?.start }
    func contains(_ address: LinkAddress) -> Bool { ranges.contains { $0.contains(address) } }
}

/// One instruction of a function and its bytes.
struct PlacedInstruction {
    let instruction: Instruction<LinkAddress>
    /// Whether it is encoded with VEX or EVEX: such an instruction clears what
    /// lies above the vector registers that it writes (SDM vol. 1, 14.3.2).
    let isVectorExtended: Bool
}

/// Decodes functions of a code space.
final class FunctionDecoder {
    private let decoder: Decoder

    init() throws(AuthoringError) {
        do throws(DecoderUnavailable) {
            decoder = try Decoder()
        } catch {
            throw AuthoringError.decoder(error)
        }
    }

    /// The instructions of `function`, one after the other; nil at a place where
    /// none is known to start, after which that part is given up.
    func instructions(of function: CodeFunction, in space: some CodeSpace) -> [PlacedInstruction?] {
        function.ranges.flatMap { instructions(in: $0, of: space) }
    }

    private func instructions(
        in range: AddressRange<LinkAddress>, of space: some CodeSpace
    ) -> [PlacedInstruction?] {
        guard let bytes = space.code(range) else { return [nil] }
        var result: [PlacedInstruction?] = []
        var offset = 0
        while offset < bytes.count {
            guard let address = range.start.advanced(by: UInt64(offset)),
                let instruction = decoder.decode(bytes, at: offset, address: address)
            else { return result + [nil] }
            result.append(
                PlacedInstruction(
                    instruction: instruction,
                    isVectorExtended: Self.isVectorExtended(bytes, at: offset)))
            offset += instruction.length
        }
        return result
    }

    /// c4, c5 and 62 behind the legacy prefixes: in 64-bit mode VEX and EVEX
    /// and nothing else (SDM vol. 2, 2.3.5 and 2.7).
    private static func isVectorExtended(_ bytes: ByteView, at offset: Int) -> Bool {
        let prefixes: Set<UInt8> = [
            0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
        ]
        var position = offset
        while let byte = bytes[position] {
            guard prefixes.contains(byte) else { return [0xc4, 0xc5, 0x62].contains(byte) }
            position += 1
        }
        return false
    }
}

/// The code of the base.
struct BaseCode: CodeSpace {
    let base: BaseObject

    func code(_ range: AddressRange<LinkAddress>) -> ByteView? {
        guard base.image.section(at: range.start)?.isExecutable ?? base.image.sections.isEmpty
        else { return nil }
        do throws(ELFError) {
            return try base.image.bytes(at: range)
        } catch {
            // Not in the file: no code that could be followed.
            return nil
        }
    }

    func target(at address: LinkAddress) -> CodeTarget {
        guard let record = base.catalog.function(containing: address) else { return .unknown }
        return record.kind == .pltStub ? .foreign : .function(base.codeFunction(of: record))
    }

    func function(containing address: LinkAddress) -> CodeFunction? {
        if case .function(let function) = target(at: address) { function } else { nil }
    }
}
