import ELFImage
import ObjectDiff
import PatchFile

/// The unwinders that throw exceptions through the code of a base, and have to be told
/// of a patch's unwind tables: they know the objects that the dynamic linker has loaded,
/// and those that were registered.
struct Unwinders {
    let base: BaseObject
    let libraries: LinkedLibraries

    /// Those of libgcc: the copy in the base, and that of the library which everything
    /// else in the process throws by. Empty where there is none that takes tables.
    var registries: [FrameRegistry] {
        [ownRegistry, importedRegistry].compactMap(\.self)
    }

    /// What a patch with `fix` in it registers with.
    ///
    /// - Parameter accepted: whether the author knows that nothing is thrown through it.
    func registries(
        for fix: ELFImage, replacing function: String, accepted: Bool
    ) throws(AuthoringError) -> [FrameRegistry] {
        guard !accepted, baseThrows || hidesUnwinder || fix.hasHandlers else { return [] }
        let found = hidesUnwinder ? [] : registries
        if found.isEmpty {
            throw AuthoringError.exceptions(function: function, base: base.name)
        }
        return found
    }

    private var ownRegistry: FrameRegistry? {
        guard base.symbols(named: Self.foreignName).isEmpty else { return nil }
        let found = base.symbols(named: FrameRegistry.functionName)
            .filter { $0.type == .function }
        return found.count == 1 ? found.first.map { .base($0.value) } : nil
    }

    private var importedRegistry: FrameRegistry? {
        let name = FrameRegistry.functionName
        guard let export = libraries.export(name), export.type == .function,
            libraries.export(Self.foreignName)?.library != export.library
        else { return nil }
        return .imported(
            ImportedSymbol(
                name: name, version: export.version, library: export.library, kind: .function,
                weak: false))
    }

    /// LLVM's unwinder has a function of the same name that does nothing (libunwind,
    /// UnwindLevel1-gcc-ext.c), and this one beside it.
    private static let foreignName = "__unw_add_dynamic_fde"

    /// Whether exceptions may pass through functions of the base: it raises them, or has
    /// code that catches or cleans up, or others do so by its functions.
    private var baseThrows: Bool {
        let names = [
            "__gxx_personality_v0", "__cxa_throw", "__cxa_begin_catch", "_Unwind_RaiseException",
            "rust_eh_personality",
        ]
        // The C library of static programs has these for its own use.
        let taken = ["_Unwind_Resume", "__gcc_personality_v0"]
        return names.contains { base.importedSymbol($0) != nil || !base.symbols(named: $0).isEmpty }
            || taken.contains { base.importedSymbol($0) != nil }
    }

    /// Whether it has code that catches or cleans up, and an unwinder of its own that
    /// nothing names. The C library, which needs none, loads one for the threads that are
    /// cancelled.
    private var hidesUnwinder: Bool {
        let isCLibrary = base.kind == .sharedObject && libraries.export("abort") == nil
        return !base.hasOwnNames && base.image.hasHandlers && !isCLibrary
            && base.importedSymbol("_Unwind_Resume") == nil
    }
}

extension ELFImage {
    /// Whether its code catches exceptions, or cleans up when they pass.
    fileprivate var hasHandlers: Bool {
        sections.contains { $0.name.hasPrefix(".gcc_except_table") && $0.size > 0 }
    }
}
