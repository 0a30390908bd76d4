import CDecoder
import ELFImage

/// What the instructions of a function, one after the other, say of where control
/// goes.
struct FunctionBody {
    /// A jump; `target` is nil where a register or the memory says where it leads.
    struct Jump {
        let address: UInt64
        let target: UInt64?
    }

    let row: FunctionRow
    let region: CodeRegion?
    let jumps: [Jump]
    /// The addresses that it takes with a rip-relative `lea`, and where.
    let addressesTaken: [(from: UInt64, target: UInt64)]
    /// The first place at which no instruction is known to start.
    let undecodable: UInt64?

    /// Whether its last instruction goes on to what stands behind it. A call does
    /// not, since one at the end is one that never returns.
    let fallsThrough: Bool

    var indirectJumps: [UInt64] { jumps.filter { $0.target == nil }.map(\.address) }

    init(_ row: FunctionRow, _ code: CodeMap) {
        self.row = row
        region = code.region(of: row.start)
        var found = Leads()
        var last: cdecoder_shape?
        let end =
            region.map { region in
                region.walk(from: row.start, to: row.end) { address, shape in
                    last = shape
                    // Few instructions do either.
                    if UInt32(shape.flow) != CDECODER_NEXT.rawValue || shape.rip_offset > 0 {
                        found.take(shape, at: address, in: region)
                    }
                }
            } ?? row.start
        jumps = found.jumps
        addressesTaken = found.addressesTaken
        undecodable = end < row.end ? end : nil
        fallsThrough =
            last.map { shape in
                let flow = cdecoder_flow(rawValue: UInt32(shape.flow))
                return !shape.padding
                    && (flow == CDECODER_NEXT || flow == CDECODER_CONDITIONAL_JUMP)
            } ?? false
    }

    /// The addresses of up to `count` instructions before the one at `address`,
    /// the nearest first, back to where control comes from elsewhere only; and
    /// whether the function starts there.
    func instructions(before address: UInt64, count: Int) -> (starts: [UInt64], reachesStart: Bool)
    {
        var starts: [UInt64] = []
        var isWhole = true
        region?.walk(from: row.start, to: address) { position, shape in
            switch cdecoder_flow(rawValue: UInt32(shape.flow)) {
            case CDECODER_JUMP, CDECODER_RETURN, CDECODER_STOP:
                starts.removeAll(keepingCapacity: true)
                isWhole = false
            default:
                starts.append(position)
            }
        }
        return (starts.suffix(count).reversed(), isWhole && starts.count <= count)
    }
}

/// Where instructions lead, and which addresses they take.
private struct Leads {
    private(set) var jumps: [FunctionBody.Jump] = []
    private(set) var addressesTaken: [(from: UInt64, target: UInt64)] = []

    mutating func take(_ shape: cdecoder_shape, at address: UInt64, in region: CodeRegion) {
        let offset = Int(address - region.start)
        let end = address + UInt64(shape.length)
        switch cdecoder_flow(rawValue: UInt32(shape.flow)) {
        case CDECODER_JUMP, CDECODER_CONDITIONAL_JUMP:
            let place = offset + Int(shape.length) - Int(shape.relative_size)
            let delta: Int64? =
                shape.relative_size == 1
                ? region.bytes.load(place, as: Int8.self).map(Int64.init)
                : region.bytes.load(place, as: Int32.self).map(Int64.init)
            let target = delta.map { end &+ UInt64(bitPattern: $0) }
            jumps.append(.init(address: address, target: shape.relative_size == 0 ? nil : target))
        case CDECODER_NEXT where shape.rip_offset > 0:
            guard region.bytes[offset + Int(shape.opcode_offset)] == 0x8d,
                let delta = region.bytes.load(offset + Int(shape.rip_offset), as: Int32.self)
            else { return }
            addressesTaken.append((address, end &+ UInt64(bitPattern: Int64(delta))))
        default:
            break
        }
    }
}
