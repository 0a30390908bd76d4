import Addresses
import ELFImage
import LiveProcess
import PatchFile
import PatchLinker
import Patchability
import SystemPackage

/// The object of a process that a patch was made for.
struct BaseObject {
    let object: LoadedObject
    let image: ELFImage

    /// Finds the patch's base among what the process has loaded, by its build id
    /// as it stands in memory, or where there is none by what its file holds.
    static func find(
        _ base: Base, among objects: [LoadedObject], of process: TargetProcess,
        _ images: ObjectImages
    ) throws(SwitchoverError) -> BaseObject {
        var sameName: [SwitchRefusal.FoundObject] = []
        var found: [BaseObject] = []
        for object in objects {
            let isNamesake = object.fileName == base.fileName
            switch base.identity {
            case .buildID(let bytes):
                if object.buildID?.bytes == bytes {
                    found.append(
                        BaseObject(
                            object: object, image: try open(object, of: process, images)))
                } else if isNamesake {
                    let identity = object.buildID.map { "\($0)" } ?? "without a build id"
                    sameName.append(.init(path: object.path, identity: identity))
                }
            case .contentDigest:
                guard object.buildID == nil || isNamesake else { continue }
                let image = try open(object, of: process, images)
                guard let identity = try? BaseIdentity(of: image) else { continue }
                if identity == base.identity {
                    found.append(BaseObject(object: object, image: image))
                } else if isNamesake {
                    sameName.append(.init(path: object.path, identity: identity.description))
                }
            }
        }
        guard let only = found.first else {
            throw .refused([.baseNotLoaded(base: base, found: sameName)])
        }
        if found.count > 1 {
            throw .refused([.baseLoadedTwice(base: base, paths: found.map(\.object.path))])
        }
        return only
    }

    static func open(
        _ object: LoadedObject, of process: TargetProcess, _ images: ObjectImages
    ) throws(SwitchoverError) -> ELFImage {
        do {
            return try images.image(of: object, in: process)
        } catch {
            throw .process(error)
        }
    }

    /// Whether a function that is replaced has no end, as far as it can be told:
    /// otherwise a thread in it is waited for.
    func neverReturns(_ function: ReplacedFunction) -> Bool {
        do throws(DecoderUnavailable) {
            return code(of: function).neverReturns(try Decoder())
        } catch {
            return false
        }
    }

    private func code(of function: ReplacedFunction) -> FunctionCode {
        let whole = FunctionCode.Part(
            start: function.range.start, bytes: ByteView(function.original))
        return FunctionCode(
            [whole]
                + function.fragments.map { fragment in
                    // Without its bytes, where a jump into it leads cannot be told.
                    FunctionCode.Part(
                        start: fragment.start,
                        bytes: (try? image.bytes(at: fragment)) ?? ByteView.empty)
                })
    }

    /// The bytes of the process at a range of the base's addresses.
    func read(
        _ range: AddressRange<LinkAddress>, of process: TargetProcess
    ) throws(SwitchoverError) -> [UInt8] {
        do {
            return try process.read(object.bias.remote(range.start), count: Int(range.count))
        } catch {
            throw .process(error)
        }
    }
}

extension Base {
    /// The object of a process that this is the base of.
    ///
    /// Throws `refused` with `baseNotLoaded` or `baseLoadedTwice`, or `process`.
    public func object(
        among objects: [LoadedObject], of process: TargetProcess, _ images: ObjectImages
    ) throws(SwitchoverError) -> LoadedObject {
        try BaseObject.find(self, among: objects, of: process, images).object
    }
}

extension LoadedObject {
    /// The last component of the path.
    var fileName: String { path.split(separator: "/").last.map(String.init) ?? path }
}

extension ProcessSearch {
    /// The processes that have code of all the bases mapped.
    public static func mapping(_ bases: [Base]) throws(Errno) -> ProcessSearch {
        let images = ObjectImages()
        return try matching { process throws(LiveProcessError) in
            let objects = try process.loadedObjects()
            do throws(SwitchoverError) {
                for base in bases {
                    _ = try BaseObject.find(base, among: objects, of: process, images)
                }
                return true
            } catch .process(let error) {
                throw error
            } catch {
                return false
            }
        }
    }
}
