import CDecoder
import ELFImage

/// Walks through functions instruction by instruction, with the place where it
/// stopped kept, since questions come in the order of addresses.
struct FunctionWalker {
    private let region: CodeRegion
    private var start: UInt64 = .max
    private var position: UInt64 = 0

    init(_ region: CodeRegion) { self.region = region }

    /// The instruction that covers `address`, coming from `origin`, where one is
    /// known to start; nil where the way there leads through bytes that are none.
    mutating func instruction(
        covering address: UInt64, from origin: UInt64
    ) -> (start: UInt64, shape: cdecoder_shape)? {
        if start != origin || position > address {
            start = origin
            position = origin
        }
        while let shape = region.shape(at: position) {
            let next = position + UInt64(shape.length)
            if address < next { return (position, shape) }
            position = next
        }
        return nil
    }

    /// Whether nothing but padding stands between `start` and the end of the
    /// instruction that covers `address`.
    func isPadding(from start: UInt64, through address: UInt64) -> Bool {
        var position = start
        while position <= address {
            guard let shape = region.shape(at: position), shape.padding else { return false }
            position += UInt64(shape.length)
        }
        return true
    }

    /// The addresses that a function takes with a rip-relative `lea`: 8d, and a
    /// ModRM byte with mode 0 and r/m 5.
    func addressesTaken(from start: UInt64, to end: UInt64) -> [UInt64] {
        var taken: [UInt64] = []
        region.walk(from: start, to: end) { address, shape in
            let opcode = Int(address - region.start) + Int(shape.opcode_offset)
            let position = address + UInt64(shape.length)
            if region.bytes[opcode] == 0x8d, (region.bytes[opcode + 1] ?? 0) & 0xc7 == 0x05,
                let displacement = region.bytes.load(opcode + 2, as: Int32.self)
            {
                taken.append(position &+ UInt64(bitPattern: Int64(displacement)))
            }
        }
        return taken
    }

    /// Whether a function may jump where a register or the memory says. One that
    /// cannot be decoded may.
    func hasIndirectJump(from start: UInt64, to end: UInt64) -> Bool {
        var position = start
        while position < end {
            guard let shape = region.shape(at: position) else { return true }
            if UInt32(shape.flow) == CDECODER_JUMP.rawValue, shape.relative_size == 0 {
                return true
            }
            position += UInt64(shape.length)
        }
        return false
    }
}
