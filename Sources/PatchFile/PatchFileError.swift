import Addresses
import ELFImage
import JSONText
import SystemPackage

/// Why a file is no patch that can be used. Each case names the file.
public enum PatchFileError: Error, Equatable, Sendable {
    /// The kernel refuses to read or write it.
    case system(name: String, action: String, errno: Errno)
    case notARegularFile(name: String)
    /// More bytes than any patch needs.
    case tooLarge(name: String, size: UInt64, limit: UInt64)
    /// No ELF object of this machine, or a broken one.
    case object(ELFError)
    /// A sound ELF object, but without a manifest.
    case notAPatch(name: String, kind: ELFImage.Kind)
    /// Written by a program with another format.
    case version(name: String, found: Int64)
    /// The manifest is not what the format says.
    case manifest(name: String, JSONError)
    /// Manifest or object break a rule that a patch must keep.
    case invalid(name: String, PatchDefect)
    /// Where a patch is to be written is something that it must not replace.
    case outputTaken(name: String, OutputObstacle)
    /// libelf could not append the manifest.
    case notWritable(name: String, message: String)

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .system: "patch.system"
        case .notARegularFile: "patch.not-a-file"
        case .tooLarge: "patch.too-large"
        case .object(let error): error.code
        case .notAPatch: "patch.no-manifest"
        case .version: "patch.version"
        case .manifest: "patch.manifest"
        case .invalid: "patch.invalid"
        case .outputTaken: "patch.output-taken"
        case .notWritable: "patch.not-writable"
        }
    }
}

extension PatchFileError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .system(let name, let action, let errno):
            "cannot \(action) '\(name)': \(errno)"
        case .notARegularFile(let name):
            "cannot read '\(name)': it is not a regular file; name a .hpatch file"
        case .tooLarge(let name, let size, let limit):
            "cannot read '\(name)': it has \(size) bytes, a patch at most \(limit)"
        case .object(let error):
            "\(error)"
        case .notAPatch(let name, let kind):
            "'\(name)' is no patch: it is an ELF file (\(kind.rawValue)) without the section "
                + "\(PatchFile.manifestSection); make one with 'hotpatch build'"
        case .version(let name, let found):
            "cannot use '\(name)': its format version is \(found), this program knows "
                + "\(PatchManifest.formatVersion); use the program that wrote it, or build it again"
        case .manifest(let name, let error):
            "the manifest of '\(name)' is malformed: \(error); build the patch again"
        case .invalid(let name, let defect):
            "the patch '\(name)' is refused: \(defect); build the patch again"
        case .outputTaken(let name, let obstacle):
            "'\(name)' exists and is \(obstacle); remove it or name another output"
        case .notWritable(let name, let message):
            "cannot put the manifest into '\(name)': \(message)"
        }
    }
}

/// What is in the way where a patch is to be written.
public enum OutputObstacle: Equatable, Sendable {
    /// A device, a folder, a pipe, or a link to one or to nothing.
    case notARegularFile
    /// A file of somebody, who may miss it.
    case notAPatch
}

extension OutputObstacle: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notARegularFile: "no regular file"
        case .notAPatch: "no patch"
        }
    }
}

/// A rule that a patch must keep and does not.
public enum PatchDefect: Error, Equatable, Sendable {
    // Of the manifest alone.
    case badName(String)
    case noFunctions
    case emptyRange(symbol: String, AddressRange<LinkAddress>)
    case overlap(symbol: String, AddressRange<LinkAddress>, other: String)
    case siteOutside(symbol: String, site: LinkAddress, AddressRange<LinkAddress>)
    case islandOutOfReach(symbol: String, site: LinkAddress, island: LinkAddress)
    case acrossPages(symbol: String, AddressRange<LinkAddress>)
    case originalSize(symbol: String, bytes: Int, range: UInt64)
    case listedTwice(name: String)
    case importWithoutLibrary(name: String)
    case namesItself(String)
    case requiresWhatItSupersedes(String)
    case fixedInItsBase(BaseIdentity)
    case frameRegistry(String)

    // Of the object.
    case notRelocatable(ELFImage.Kind)
    case manifestSections(Int)
    case symbolTables(Int)
    case sectionFlags(section: String, flags: UInt64, reason: String)
    case sectionType(section: String, type: UInt32)
    case sectionAlignment(section: String, alignment: UInt64)
    case initialiser(section: String)
    case memorySize(bytes: UInt64, limit: UInt64)
    case symbolNames(Int)
    case commonSymbol(String)
    case threadLocalDefinition(String)
    case indirectFunctionDefinition(String)
    case symbolSection(String, index: Int)
    case symbolRange(String, value: UInt64, size: UInt64, section: String)
    case unlistedSymbol(String)
    case listedNotUndefined(name: String)

    // Of the relocations.
    case relocationSection(section: String, reason: String)
    case relocationType(section: String, offset: UInt64, type: UInt32)
    case relocationOffset(section: String, offset: UInt64, size: UInt64)
    case relocationSymbol(section: String, offset: UInt64, symbol: UInt32)
    case relocationThreadLocal(section: String, offset: UInt64, symbol: String)

    // Between the two.
    case replacement(symbol: String, replacement: String, reason: String)
    case callback(String, reason: String)
}

extension PatchDefect: CustomStringConvertible {
    public var description: String {
        switch self {
        case .badName(let name):
            "its name '\(name)' is not 1 to 64 of A-Z a-z 0-9 . _ + -, starting with a letter or digit"
        case .noFunctions:
            "it replaces no function"
        case .emptyRange(let symbol, let range):
            "the range \(range) of '\(symbol)' is empty"
        case .overlap(let symbol, let range, let other):
            "the range \(range) of '\(symbol)' overlaps what '\(other)' takes"
        case .siteOutside(let symbol, let site, let range):
            "the site \(site) of '\(symbol)' lies outside its range \(range)"
        case .islandOutOfReach(let symbol, let site, let island):
            "the island \(island) of '\(symbol)' is out of a short jump's reach from \(site)"
        case .acrossPages(let symbol, let range):
            "the bytes \(range) for the detour of '\(symbol)' lie in two pages"
        case .originalSize(let symbol, let bytes, let range):
            "it has \(bytes) original bytes of '\(symbol)', whose range has \(range)"
        case .listedTwice(let name):
            "it lists '\(name)' twice"
        case .importWithoutLibrary(let name):
            "the import '\(name)' names no library and is not weak"
        case .namesItself(let name):
            "it names itself ('\(name)') among the patches that it requires or supersedes"
        case .requiresWhatItSupersedes(let name):
            "it requires '\(name)', whose place it takes"
        case .fixedInItsBase(let base):
            "it names its own base \(base) among the builds that contain the fix"
        case .frameRegistry(let name):
            "it names '\(name)' where \(FrameRegistry.functionName) of a library is wanted"
        case .callback(let name, let reason):
            "the callback '\(name)' \(reason)"
        case .notRelocatable(let kind):
            "it is not a relocatable object but of the kind '\(kind.rawValue)'"
        case .manifestSections(let count):
            "it has \(count) sections \(PatchFile.manifestSection)"
        case .symbolTables(let count):
            "it has \(count) symbol tables where one is needed"
        case .sectionFlags(let section, let flags, let reason):
            "section '\(section)' (flags 0x\(String(flags, radix: 16))) is \(reason)"
        case .sectionType(let section, let type):
            "section '\(section)' is of type 0x\(String(type, radix: 16)), which is not loaded"
        case .sectionAlignment(let section, let alignment):
            "section '\(section)' has the alignment \(alignment), not a power of two up to 4096"
        case .initialiser(let section):
            "section '\(section)' would have to run when it is loaded, which a patch cannot"
        case .memorySize(let bytes, let limit):
            "its sections take \(bytes) bytes of memory, more than \(limit)"
        case .symbolNames(let limit):
            "the names of its symbols take more than \(limit) bytes"
        case .commonSymbol(let name):
            "'\(name)' is a common symbol; compile with -fno-common"
        case .threadLocalDefinition(let name):
            "it defines the thread-local variable '\(name)', for which running threads have no room"
        case .indirectFunctionDefinition(let name):
            "it defines the IFUNC '\(name)'"
        case .symbolSection(let name, let index):
            "symbol '\(name)' is in section \(index), which is none that is loaded"
        case .symbolRange(let name, let value, let size, let section):
            "symbol '\(name)' (offset \(value), \(size) bytes) passes the end of section '\(section)'"
        case .unlistedSymbol(let name):
            "the manifest does not say what the undefined symbol '\(name)' is"
        case .listedNotUndefined(let name):
            "the manifest lists '\(name)', which the object does not leave undefined"
        case .relocationSection(let section, let reason):
            "relocation section '\(section)' \(reason)"
        case .relocationType(let section, let offset, let type):
            "section '\(section)' has at offset \(offset) a relocation of type \(type), "
                + "which position-independent code does not need; compile with -fPIC"
        case .relocationOffset(let section, let offset, let size):
            "section '\(section)' of \(size) bytes has a relocation at offset \(offset)"
        case .relocationSymbol(let section, let offset, let symbol):
            "section '\(section)' has at offset \(offset) a relocation against symbol \(symbol), "
                + "which is nothing that is loaded"
        case .relocationThreadLocal(let section, let offset, let symbol):
            "section '\(section)' has at offset \(offset) a relocation that does not fit '\(symbol)': "
                + "one of the two is thread-local, the other is not"
        case .replacement(let symbol, let replacement, let reason):
            "the replacement '\(replacement)' of '\(symbol)' \(reason)"
        }
    }
}
