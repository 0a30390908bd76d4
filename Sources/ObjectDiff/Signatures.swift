import CDebugInfo
import SystemPackage

/// How the functions of an object are called, by its debug information.
struct Signatures {
    private var texts: [String: String] = [:]

    /// Reads those of the object file at `path`; none where it has no debug information.
    init(of path: FilePath) {
        let collector = Collector()
        unsafe path.collectDebugInformation(in: collector) { session, context in
            unsafe cdebuginfo_signatures(session, context) {
                context, name, signature in
                guard let context = unsafe context else { return }
                unsafe Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue()
                    .texts[String(cString: name)] = String(cString: signature)
            }
        }
        texts = collector.texts
    }

    private final class Collector {
        var texts: [String: String] = [:]
    }

    /// The signature of the function called `name`; nil where it is not known.
    subscript(name: String) -> String? { texts[name] }
}

/// A function that is called in another way after a change.
public struct SignatureChange: Hashable, Sendable {
    /// As in C, without names: `int (char *, long)`.
    public let before: String
    public let after: String

    init?(_ before: String?, _ after: String?) {
        guard let before, let after, before != after else { return nil }
        self.before = before
        self.after = after
    }
}
