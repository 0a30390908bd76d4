import Addresses
import ELFImage

/// The entries of an object's .eh_frame: which describes which section, and which
/// one it starts from (LSB, "Exception Frames").
struct UnwindEntries {
    struct Entry {
        /// Its bytes, the length included.
        let range: Range<Int>
        /// Of an FDE, the offset of the CIE that it starts from; nil for a CIE.
        let parent: Int?
        /// Of an FDE, the section that it describes.
        let section: Int?
    }

    /// In the order of their offsets.
    private(set) var entries: [Entry] = []
    private var starts: [Int: Int] = [:]
    private var described: [Int: [Int]] = [:]

    /// The entry that starts at `offset`.
    func entry(at offset: Int?) -> Entry? {
        offset.flatMap { starts[$0] }.map { entries[$0] }
    }

    /// Those that describe the section number `section`.
    func entries(of section: Int) -> [Entry] { (described[section] ?? []).map { entries[$0] } }

    /// nil where the table is malformed.
    init?(_ atom: Atom, of object: CompiledObject) {
        var position = 0
        while let length = atom.bytes.load(position, as: UInt32.self) {
            // A length of zero ends the table.
            if length == 0 { break }
            guard length != .max, let size = Int(exactly: length), size >= 4,
                size <= atom.bytes.count - position - 4,
                let back = atom.bytes.load(position + 4, as: UInt32.self)
            else { return nil }
            let range = position..<position + 4 + size
            if back == 0 {
                entries.append(Entry(range: range, parent: nil, section: nil))
            } else {
                let parent = position + 4 - Int(back)
                let start = atom.relocations(in: position + 8..<position + 9).first
                var section: Int?
                if let start, case .atom(let home, _) = object.target(of: start) { section = home }
                entries.append(Entry(range: range, parent: parent, section: section))
            }
            position = range.upperBound
        }
        for (index, entry) in entries.enumerated() {
            starts[entry.range.lowerBound] = index
            if let section = entry.section { described[section, default: []].append(index) }
        }
    }
}
