import ELFImage
import JSONText
import SystemPackage

/// A `.hpatch`: the relocatable object of the compiled fix, and the manifest in
/// one of its sections. A value of this type has been verified completely.
public struct PatchFile: Sendable {
    public static let manifestSection = ".hotpatch.manifest"
    /// The assembler leaves this symbol undefined in objects that use a GOT,
    /// though no relocation that a patch may carry refers to it. It needs no
    /// place in the manifest.
    public static let globalOffsetTable = "_GLOBAL_OFFSET_TABLE_"
    /// What the name of an undefined symbol starts with that stands for the
    /// original of a replaced function: `hotpatch.original.NAME`.
    static let originalPrefix = "hotpatch.original."
    /// The largest file that is read, in bytes.
    public static let sizeLimit: UInt64 = 64 << 20
    /// The largest manifest that is read, in bytes.
    static let manifestLimit = 16 << 20

    public let manifest: PatchManifest
    /// The object, `ET_REL`; its loaded sections, symbols and relocations keep
    /// the rules of ``PatchDefect``.
    public let object: ELFImage
    /// What it brings along, in the order of the names.
    public let added: [AddedSymbol]
    /// BLAKE2b-256 of the whole file.
    public let digest: [UInt8]

    /// Verifies a patch in memory; `name` is for messages.
    public init(bytes: [UInt8], name: String) throws(PatchFileError) {
        guard UInt64(bytes.count) <= Self.sizeLimit else {
            throw PatchFileError.tooLarge(
                name: name, size: UInt64(bytes.count), limit: Self.sizeLimit)
        }
        let (object, manifestBytes) = try Self.parts(of: bytes, name: name)
        let manifest = try Self.parse(manifestBytes, name: name)
        do throws(ObjectChecks.Failure) {
            let checks = try ObjectChecks(object: object, manifest: manifest)
            try checks.run()
            added = checks.added
        } catch {
            switch error {
            case .object(let error): throw PatchFileError.object(error)
            case .defect(let defect): throw PatchFileError.invalid(name: name, defect)
            }
        }
        guard var digest = Digest() else {
            throw PatchFileError.system(name: name, action: "digest", errno: .noMemory)
        }
        unsafe bytes.withUnsafeBytes { unsafe digest.update($0) }
        self.digest = digest.finish()
        self.manifest = manifest
        self.object = object
    }

    /// The object, and the bytes of its manifest's section.
    private static func parts(
        of bytes: [UInt8], name: String
    ) throws(PatchFileError) -> (ELFImage, [UInt8]) {
        let object: ELFImage
        let contents: [UInt8]?
        do throws(ELFError) {
            object = try ELFImage.parse(bytes: bytes, name: name)
            let section = object.section(named: manifestSection)
            contents = if let section { try object.bytes(of: section).array() } else { nil }
        } catch {
            throw PatchFileError.object(error)
        }
        guard let contents else {
            throw PatchFileError.notAPatch(name: name, kind: object.kind)
        }
        return (object, contents)
    }

    /// The undefined symbol that stands for the original of `function`.
    public static func originalSymbol(of function: String) -> String { originalPrefix + function }

    /// The function whose original the undefined symbol `name` stands for; nil
    /// where it is a symbol like others.
    public static func originalName(of name: String) -> String? {
        name.hasPrefix(originalPrefix) ? String(name.dropFirst(originalPrefix.count)) : nil
    }

    private static func parse(
        _ bytes: [UInt8], name: String
    ) throws(PatchFileError) -> PatchManifest {
        let json: JSONValue
        do throws(JSONError) {
            json = try JSONValue(parsing: bytes, limit: manifestLimit)
        } catch {
            throw PatchFileError.manifest(name: name, error)
        }
        let manifest: PatchManifest
        do throws(ManifestError) {
            manifest = try PatchManifest(json: json)
        } catch {
            switch error {
            case .version(let found): throw PatchFileError.version(name: name, found: found)
            case .structure(let error): throw PatchFileError.manifest(name: name, error)
            }
        }
        do throws(PatchDefect) {
            try manifest.checkConsistency()
        } catch {
            throw PatchFileError.invalid(name: name, error)
        }
        return manifest
    }
}
