import Addresses

/// Unwind information for entry thunks, in the form of .eh_frame (LSB, "Exception
/// Frames"): with it the frames of a thread that is in a replacement can be
/// followed through the thunk to whoever called.
///
/// The other code that the linker writes needs none: stubs only jump, and a thread
/// that was interrupted there is elsewhere at the next look.
enum ThunkFrames {
    /// Bytes of the table for `count` thunks; a multiple of 8, so that another
    /// table can follow at once.
    static func size(count: Int) -> UInt64 {
        count == 0 ? 0 : UInt64(commonLength + count * entryLength)
    }

    /// The table as it stands at `address`, for thunks within ±2 GiB of it; nil
    /// where one is further away.
    static func table(
        for thunks: [AddressRange<RemoteAddress>], at address: RemoteAddress
    ) -> [UInt8]? {
        guard !thunks.isEmpty else { return [] }
        var bytes = common
        for thunk in thunks {
            guard let place = address.advanced(by: UInt64(bytes.count)),
                let entry = entry(for: thunk, at: place, distance: bytes.count)
            else { return nil }
            bytes += entry
        }
        return bytes
    }

    private static let commonLength = 24
    private static let entryLength = 40

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

    /// The FDE of one thunk.
    ///
    /// - Parameter distance: how far before it the CIE stands.
    private static func entry(
        for thunk: AddressRange<RemoteAddress>, at place: RemoteAddress, distance: Int
    ) -> [UInt8]? {
        guard let field = place.advanced(by: 8),
            let start = Rel32(fromEnd: field, to: thunk.start),
            thunk.count > EntryThunk.frameEnd, thunk.count < 1 << 31
        else { return nil }
        // The last byte is the ret, before which rbp was taken from the stack.
        let last = UInt32(thunk.count - EntryThunk.frameEnd - 1)
        let bytes: [UInt8] =
            PayloadHeader.littleEndian(UInt32(entryLength - 4))
            + PayloadHeader.littleEndian(UInt32(distance + 4))
            + start.bytes + PayloadHeader.littleEndian(UInt32(thunk.count))
            + [0]  // no augmentation data
            + [0x40 | UInt8(EntryThunk.pushEnd)]  // DW_CFA_advance_loc
            + [0x0e, 16, 0x86, 2]  // DW_CFA_def_cfa_offset 16; DW_CFA_offset rbp at -16
            + [0x40 | UInt8(EntryThunk.frameEnd - EntryThunk.pushEnd)]  // DW_CFA_advance_loc
            + [0x0d, 6]  // DW_CFA_def_cfa_register rbp
            + [0x04] + PayloadHeader.littleEndian(last)  // DW_CFA_advance_loc4
            + [0x0c, 7, 8, 0xc6]  // DW_CFA_def_cfa rsp + 8; DW_CFA_restore rbp
        return bytes + [UInt8](repeating: 0, count: entryLength - bytes.count)  // DW_CFA_nop
    }
}
