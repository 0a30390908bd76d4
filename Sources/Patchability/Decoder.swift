import Addresses
import CDecoder
import ELFImage

/// No decoder: memory is short, or Capstone was built without x86.
public struct DecoderUnavailable: Error, CustomStringConvertible {
    public let code = "decoder.unavailable"
    public var description: String {
        "cannot open the x86-64 decoder of libcapstone: out of memory, or built without x86"
    }
}

/// Decodes instructions with Capstone. For walking through much code, see
/// ``InstructionShape``.
@safe public struct Decoder: ~Copyable {
    private let handle: OpaquePointer

    public init() throws(DecoderUnavailable) {
        guard let handle = unsafe cdecoder_open() else { throw DecoderUnavailable() }
        unsafe self.handle = unsafe handle
    }

    deinit { unsafe cdecoder_close(handle) }

    /// The instruction at `offset` of `bytes`, as if it stood at `address`; nil
    /// where none is known to start there or the bytes end before it does.
    public func decode<Space>(
        _ bytes: ByteView, at offset: Int = 0, address: Space
    ) -> Instruction<Space>? {
        unsafe bytes.withUnsafeBytes { unsafe decode($0, at: offset, address: address) }
    }

    /// The same in an array.
    public func decode<Space>(
        _ bytes: [UInt8], at offset: Int = 0, address: Space
    ) -> Instruction<Space>? {
        unsafe bytes.withUnsafeBytes { unsafe decode($0, at: offset, address: address) }
    }

    @unsafe
    func decode<Space>(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, address: Space
    ) -> Instruction<Space>? {
        guard let (place, rest) = unsafe bytes.tail(from: offset) else { return nil }
        var raw = cdecoder_instruction()
        guard unsafe cdecoder_decode(handle, place, rest, address.rawValue, &raw) else {
            return nil
        }
        return Instruction(raw: raw)
    }

    /// The instruction at `offset` of `bytes` in AT&T syntax, as gdb and objdump
    /// print it; `.byte 0x…` for what Capstone does not know.
    public func text<Space: AddressSpace>(
        _ bytes: ByteView, at offset: Int = 0, address: Space
    ) -> String {
        unsafe bytes.withUnsafeBytes { bytes in
            guard let (place, rest) = unsafe bytes.tail(from: offset) else { return "" }
            // Capstone's own limits are 32 and 160 characters.
            let text: String? = unsafe withUnsafeTemporaryAllocation(
                of: CChar.self, capacity: 200
            ) { buffer in
                guard let start = buffer.baseAddress,
                    unsafe cdecoder_format(
                        handle, place, rest, address.rawValue, start, buffer.count)
                else { return nil }
                return unsafe String(cString: start)
            }
            if let text { return text }
            let length = max(1, Int(unsafe cdecoder_look(place, rest).length))
            let listing = (0..<length).map { unsafe "0x" + String(place[$0], radix: 16) }
            return ".byte " + listing.joined(separator: ", ")
        }
    }
}

/// How long an instruction is and whether control leaves it: the quick look.
public struct InstructionShape: Sendable {
    let raw: cdecoder_shape

    /// nil where no instruction is known to start at `offset`.
    public init?(_ bytes: ByteView, at offset: Int = 0) {
        let shape: cdecoder_shape? = unsafe bytes.withUnsafeBytes { bytes in
            guard let (place, rest) = unsafe bytes.tail(from: offset) else { return nil }
            return unsafe cdecoder_look(place, rest)
        }
        guard let shape, shape.length > 0 else { return nil }
        raw = shape
    }

    /// Bytes, 1 to 15.
    public var length: Int { Int(raw.length) }
    public var flow: Flow { Flow(rawValue: raw.flow) ?? .next }
    /// A nop of any length, or int3.
    public var isPadding: Bool { raw.padding }
    public var isEndbr64: Bool { raw.endbr64 }
    /// Where the opcode stands, behind the prefixes.
    public var opcodeOffset: Int { Int(raw.opcode_offset) }
    /// The bytes of the displacement with which a direct branch ends; nil for what
    /// is none.
    public var branchDisplacementSize: Int? {
        raw.relative_size > 0 ? Int(raw.relative_size) : nil
    }
    /// Where the displacement of an operand stands whose base is rip, always of four
    /// bytes; nil where there is none.
    public var ripDisplacementOffset: Int? { raw.rip_offset > 0 ? Int(raw.rip_offset) : nil }
}

extension UnsafeRawBufferPointer {
    /// The place `offset` bytes in and how many may be read there; nil at the end.
    @unsafe
    func tail(from offset: Int) -> (UnsafePointer<UInt8>, Int)? {
        guard offset >= 0, offset < count, let base = baseAddress else { return nil }
        return unsafe ((base + offset).assumingMemoryBound(to: UInt8.self), count - offset)
    }
}
