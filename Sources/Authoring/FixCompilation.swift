import ELFImage
import Glibc
import PatchFile
import SystemPackage

/// The sources of a fix, compiled and joined to one object.
struct FixCompilation {
    /// The object that goes into the patch.
    let object: FilePath
    /// The same with debug information.
    let debugObject: FilePath
    /// The functions that the sources themselves define, whether or not anything
    /// uses them: not those of headers.
    let defined: [DefinedFunction]

    struct DefinedFunction: Hashable {
        let name: String
        let source: FilePath
    }

    /// - Parameter isWanted: whether the base has a function of that name, so that
    ///   it must not be left out.
    init(
        _ sources: [FilePath], compiler: Compiler, target: Compiler.Target,
        folder: borrowing TemporaryFolder, isWanted: (String) -> Bool
    ) throws(AuthoringError) {
        var objects: [FilePath] = []
        var defined: [DefinedFunction] = []
        for (index, source) in sources.enumerated() {
            let place = try folder.makeFolder("\(index)")
            let object = place.appending("fix.o")
            try compiler.compile(source, to: object, for: target)
            // Of a file that it takes for an object, as by its suffix.
            guard unsafe access(object.string, F_OK) == 0 else {
                throw AuthoringError.source(name: source.string, .notCompiled)
            }
            let own = try Self.definedFunctions(of: source, compiler, in: place)
            let left = own.filter { isWanted($0.name) }.map(\.name)
            let missing = try Self.functionsLeftOut(left, of: object)
            if !missing.isEmpty {
                try Self.keep(missing, of: source, compiler, target, object, in: place)
            }
            objects.append(object)
            defined += own
        }
        for object in objects where try Self.usesShadowData(object) {
            let shadow = folder.path.appending("shadow.o")
            try compiler.compileShadowData(to: shadow, for: target)
            objects.append(shadow)
            break
        }
        self.defined = defined
        object = folder.path.appending("merged.o")
        debugObject = folder.path.appending("merged-debug.o")
        try compiler.merge(objects, to: object, withoutDebugInformation: true)
        try compiler.merge(objects, to: debugObject, withoutDebugInformation: false)
    }

    private static func usesShadowData(_ object: FilePath) throws(AuthoringError) -> Bool {
        try fix(at: object).usesShadowData
    }

    private static func fix(at object: FilePath) throws(AuthoringError) -> FixObject {
        let image: ELFImage
        do throws(ELFError) {
            image = try ELFImage.open(path: object)
        } catch {
            throw AuthoringError.object(error)
        }
        return try FixObject(image)
    }

    private static func definedFunctions(
        of source: FilePath, _ compiler: Compiler, in place: FilePath
    ) throws(AuthoringError) -> [DefinedFunction] {
        let object = place.appending("all.o")
        try compiler.compileEverything(source, to: object)
        var seen: Set<String> = []
        return DebugInformation(of: object).functions
            .filter { !isHeader($0.file) && seen.insert($0.name).inserted }
            .map { DefinedFunction(name: $0.name, source: source) }
            .sorted { $0.name < $1.name }
    }

    /// What a header defines is the fix's own: it did not write it.
    private static func isHeader(_ file: String?) -> Bool {
        let suffixes = ["h", "hh", "hpp", "hxx", "H", "inl", "inc"]
        return file.flatMap { FilePath($0).extension }.map(suffixes.contains) ?? false
    }

    private static func functionsLeftOut(
        _ names: [String], of object: FilePath
    ) throws(AuthoringError) -> [String] {
        let present = Set(try fix(at: object).functions.map(\.name))
        return names.filter { !present.contains($0) }
    }

    /// Compiles once more with the addresses of the functions taken, so that the
    /// compiler does not leave them out: static ones that nothing uses, of which
    /// Clang keeps none and GCC no inline ones.
    private static func keep(
        _ names: [String], of source: FilePath, _ compiler: Compiler, _ target: Compiler.Target,
        _ object: FilePath, in place: FilePath
    ) throws(AuthoringError) {
        guard source.extension == "c", let file = source.lastComponent else {
            throw AuthoringError.notKept(function: names[0], source: source.string)
        }
        let whole = try absolute(source)
        let addresses = names.map { "(const void *)\($0)" }.joined(separator: ", ")
        // In a file of the same name, which the symbol table shows.
        let wrapper = place.appending(file)
        try writeFile(
            """
            #include "\(whole.string)"
            #pragma GCC diagnostic ignored "-Wpedantic"
            static const void *const \(PatchFile.keptFunctions)[] __attribute__((used)) = {\(addresses)};

            """, to: wrapper)
        // Folders that are given in the flags stay as they are; __FILE__ and the
        // like shall read as without the wrapper.
        try compiler.compile(
            wrapper, to: object, for: target,
            extra: ["-w", "-fmacro-prefix-map=\(whole.string)=\(source.string)"])
        if let missing = try functionsLeftOut(names, of: object).first {
            throw AuthoringError.notKept(function: missing, source: source.string)
        }
    }
}
