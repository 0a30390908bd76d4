import Addresses

/// Unwind information for entry thunks and what runs once, in the form of .eh_frame
/// (LSB, "Exception Frames"): with it the frames of a thread that is in a replacement,
/// or in a callback, can be followed to whoever called.
///
/// The other code that the linker writes needs none: stubs only jump, and a thread
/// that was interrupted there is elsewhere at the next look.
enum ThunkFrames {
    /// Code that has an entry.
    enum Code {
        /// It has a frame from the start to its last instruction but one, as thunks
        /// have (``EntryThunk``).
        case thunk(AddressRange<RemoteAddress>)
        /// It keeps one register on the stack in its middle (``Gate``).
        case gate(AddressRange<RemoteAddress>)
    }

    /// Bytes of the table for so many; a multiple of 8, so that another table can
    /// follow at once.
    static func size(thunks: Int, gates: Int) -> UInt64 {
        thunks + gates == 0
            ? 0 : UInt64(commonLength + thunks * thunkEntryLength + gates * gateEntryLength)
    }

    /// The table as it stands at `address`, for code within ±2 GiB of it; nil
    /// where some is further away.
    static func table(for codes: [Code], at address: RemoteAddress) -> [UInt8]? {
        guard !codes.isEmpty else { return [] }
        var bytes = common
        for code in codes {
            guard let place = address.advanced(by: UInt64(bytes.count)),
                let entry = entry(for: code, at: place, distance: bytes.count)
            else { return nil }
            bytes += entry
        }
        return bytes
    }

    private static let commonLength = 24
    private static let thunkEntryLength = 40
    private static let gateEntryLength = 24

    /// The CIE: at a function's first instruction the frame ends 8 bytes above rsp
    /// (7), with the return address (16) there.
    private static let common: [UInt8] =
        PayloadHeader.littleEndian(UInt32(commonLength - 4))
        + PayloadHeader.littleEndian(UInt32(0))
        + [1, UInt8(ascii: "z"), UInt8(ascii: "R"), 0]
        + [1, 0x78, 16]  // code units of 1 byte, data units of -8, the return address
        + [1, 0x1b]  // DW_EH_PE_pcrel | DW_EH_PE_sdata4
        + [0x0c, 7, 8]  // DW_CFA_def_cfa rsp + 8
        + [0x90, 1]  // DW_CFA_offset rip at -8
        + [0, 0]  // DW_CFA_nop

    /// An FDE.
    ///
    /// - Parameter distance: how far before it the CIE stands.
    private static func entry(
        for code: Code, at place: RemoteAddress, distance: Int
    ) -> [UInt8]? {
        switch code {
        case .thunk(let range):
            guard range.count > EntryThunk.frameEnd, range.count < 1 << 31 else { return nil }
            // The last byte is the ret, before which rbp was taken from the stack.
            let last = UInt32(range.count - EntryThunk.frameEnd - 1)
            return entry(
                for: range, at: place, distance, length: thunkEntryLength,
                [0x40 | UInt8(EntryThunk.pushEnd)]  // DW_CFA_advance_loc
                    + [0x0e, 16, 0x86, 2]  // DW_CFA_def_cfa_offset 16; DW_CFA_offset rbp at -16
                    + [0x40 | UInt8(EntryThunk.frameEnd - EntryThunk.pushEnd)]
                    + [0x0d, 6]  // DW_CFA_def_cfa_register rbp
                    + [0x04] + PayloadHeader.littleEndian(last)  // DW_CFA_advance_loc4
                    + [0x0c, 7, 8, 0xc6])  // DW_CFA_def_cfa rsp + 8; DW_CFA_restore rbp
        case .gate(let range):
            return entry(
                for: range, at: place, distance, length: gateEntryLength,
                [0x40 | UInt8(Gate.pushEnd), 0x0e, 16]  // DW_CFA_def_cfa_offset 16
                    + [0x40 | UInt8(Gate.popEnd - Gate.pushEnd), 0x0e, 8])
        }
    }

    private static func entry(
        for range: AddressRange<RemoteAddress>, at place: RemoteAddress, _ distance: Int,
        length: Int, _ instructions: [UInt8]
    ) -> [UInt8]? {
        guard let field = place.advanced(by: 8),
            let start = Rel32(fromEnd: field, to: range.start),
            let count = UInt32(exactly: range.count)
        else { return nil }
        let bytes: [UInt8] =
            PayloadHeader.littleEndian(UInt32(length - 4))
            + PayloadHeader.littleEndian(UInt32(distance + 4))
            + start.bytes + PayloadHeader.littleEndian(count)
            + [0]  // no augmentation data
            + instructions
        return bytes + [UInt8](repeating: 0, count: length - bytes.count)  // DW_CFA_nop
    }
}
