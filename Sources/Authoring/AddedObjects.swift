import ELFImage
import ObjectDiff
import PatchFile
import SystemPackage

/// What goes into a patch of a change beside the objects that changed: those that its
/// author adds, and the functions for shadow data where anything uses them.
struct AddedObjects {
    private let objects: [FilePath]
    /// What each of them was before.
    private let nothing: FilePath

    init(
        _ request: DiffRequest, base: BaseObject, folder: borrowing TemporaryFolder
    ) throws(AuthoringError) {
        nothing = folder.path.appending("nothing.o")
        var objects = request.with
        for object in objects { try Self.checkNames(of: object, base) }
        for object in request.after + request.with
        where try Self.openNames(of: object).contains(where: { $0.hasPrefix(Compiler.shadowPrefix) }
        ) {
            let shadow = folder.path.appending("hotpatch_shadow.o")
            let compiler = try Compiler(command: nil, userFlags: [], folder: folder)
            try compiler.compileShadowData(to: shadow, for: Compiler.Target(base))
            objects.append(shadow)
            break
        }
        self.objects = objects
        if !objects.isEmpty { try writeFile(CompiledObject.nothing, to: nothing) }
    }

    func pairs() throws(ChangeError) -> [ObjectPair] {
        var pairs: [ObjectPair] = []
        for object in objects {
            pairs.append(
                ObjectPair(
                    before: try CompiledObject(path: nothing),
                    after: try CompiledObject(path: object)))
        }
        return pairs
    }

    /// The names that an object leaves open.
    private static func openNames(of object: FilePath) throws(AuthoringError) -> [String] {
        try symbols(of: object).filter { $0.section == .undefined }.map(\.name)
    }

    private static func symbols(of object: FilePath) throws(AuthoringError) -> [Symbol] {
        do throws(ELFError) {
            guard let table = try ELFImage.open(path: object).symbolTable(.full) else { return [] }
            var symbols: [Symbol] = []
            for index in 0..<table.count { symbols.append(try table.symbol(index)) }
            return symbols
        } catch {
            throw AuthoringError.object(error)
        }
    }

    /// Replacing is the change's business: what is added under a name of the base would
    /// hide the base's from the objects that changed.
    private static func checkNames(
        of object: FilePath, _ base: BaseObject
    ) throws(AuthoringError) {
        for symbol in try symbols(of: object) where symbol.binding != .local {
            if case .section = symbol.section, !base.symbols(named: symbol.name).isEmpty {
                throw AuthoringError.addedInBase(
                    object: object.string, name: symbol.name, base: base.name)
            }
        }
    }
}

extension Compiler.Target {
    init(_ base: BaseObject) {
        self.init(isProgram: base.kind != .sharedObject, cet: base.image.cetFeatures)
    }
}
