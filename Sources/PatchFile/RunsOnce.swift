import Addresses

/// What runs once in a process, in the thread that first enters a replacement, before
/// the replacement and as ordinary code of that thread.
public struct RunsOnce: Equatable, Sendable {
    /// The unwinders that are told of the patch's unwind tables, so that exceptions pass
    /// through its functions; at most one in the base, and one elsewhere.
    public var registries: [FrameRegistry]
    /// Functions of the patch's object that take nothing and return nothing, in their
    /// order.
    public var callbacks: [String]

    public init(registries: [FrameRegistry] = [], callbacks: [String] = []) {
        self.registries = registries
        self.callbacks = callbacks
    }

    public var isEmpty: Bool { registries.isEmpty && callbacks.isEmpty }
}

/// Where libgcc's `__register_frame_info` is, which an unwinder is told of tables by
/// (gcc, unwind-dw2-fde.c). A process may have several copies of it, each with a list
/// of its own.
public enum FrameRegistry: Equatable, Sendable {
    /// Linked into the base.
    case base(LinkAddress)
    /// In a library, to be looked up as the dynamic linker does.
    case imported(ImportedSymbol)

    public static let functionName = "__register_frame_info"
}

extension PatchManifest {
    /// The libraries that have to be mapped before the patch can be linked, by the names
    /// under which the base is linked with them.
    public var libraries: Set<String> {
        let registries = runsOnce.registries.map { registry -> String? in
            if case .imported(let symbol) = registry { symbol.library } else { nil }
        }
        return Set((imports.map(\.library) + registries).compactMap(\.self))
    }
}

extension PatchFile {
    /// The section in which a fix has pointers to its callbacks (hotpatch.h).
    public static let callbackSection = ".hotpatch.on_apply"
    /// What the names of these pointers start with. They are nobody's and not told of.
    static let callbackPointers = "hotpatch_on_apply_"
}
