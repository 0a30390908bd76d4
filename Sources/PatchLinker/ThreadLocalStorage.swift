import Addresses
import ELFImage

/// Where the thread-local variables of an object are in a process.
public enum ThreadLocalStorage {
    /// The program's own: its block ends at the thread pointer, rounded up to
    /// its alignment (variant II), and its module is number 1.
    ///
    /// - Parameter offset: bytes from the start of the segment.
    /// - Returns: nil where the segment's alignment is not one that can be followed.
    static func ofProgram(_ segment: Segment, offset: UInt64) -> ThreadLocalBinding? {
        let alignment = max(segment.alignment, 1)
        guard offset <= segment.memorySize, alignment & (alignment - 1) == 0,
            alignment <= 1 << 30, segment.address.rawValue % alignment == 0,
            segment.memorySize < 1 << 40
        else { return nil }
        let blockSize = (segment.memorySize + alignment - 1) & ~(alignment - 1)
        return ThreadLocalBinding(
            module: 1, offset: offset, threadPointerOffset: Int64(offset) - Int64(blockSize))
    }

    /// R_X86_64_DTPMOD64 and R_X86_64_TPOFF64 (psABI, table 4.9).
    private static let moduleRelocation = RelocationType(rawValue: 16)
    private static let offsetRelocation = RelocationType(rawValue: 18)

    /// A library's: the loader has told the library itself, by relocations that
    /// are done. Words for the number of its module, and words with the distance
    /// of one of its variables from the thread pointer, are read back.
    ///
    /// - Parameter readWord: the eight bytes at a link address of the library in
    ///   the process; nil where they cannot be read.
    static func ofLibrary(
        _ image: ELFImage, offset: UInt64, readWord: (LinkAddress) -> UInt64?
    ) throws(ELFError) -> ThreadLocalBinding {
        let table = try image.symbolTable(.dynamic)
        var module: UInt64?
        var threadPointerOffset: Int64?
        for relocation in try image.dynamicRelocations() {
            guard let start = startInBlock(of: relocation, table) else { continue }
            if relocation.type == moduleRelocation, module == nil {
                // Not relocated yet, or not what it seems, where it is zero.
                module = readWord(relocation.offset).flatMap { $0 == 0 ? nil : $0 }
            }
            if relocation.type == offsetRelocation, threadPointerOffset == nil,
                let word = readWord(relocation.offset), word != 0
            {
                let blockStart = Int64(bitPattern: word) &- start
                threadPointerOffset = blockStart &+ Int64(bitPattern: offset)
            }
        }
        return ThreadLocalBinding(
            module: module, offset: offset, threadPointerOffset: threadPointerOffset)
    }

    /// Where in the object's own block the relocation's variable lies; nil where
    /// it is another object's.
    private static func startInBlock(of relocation: Relocation, _ table: SymbolTable?) -> Int64? {
        guard relocation.symbolIndex != 0 else { return relocation.addend }
        guard let entry = table?[Int(relocation.symbolIndex)], !entry.isUndefined,
            entry.binding == .local || entry.visibility != .normal
        else { return nil }
        return Int64(bitPattern: entry.value.rawValue) &+ relocation.addend
    }
}
