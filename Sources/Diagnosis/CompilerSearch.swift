import Glibc
import SystemPackage

/// The C compiler that `build` would run.
enum CompilerSearch {
    /// What $CC names, else `cc`, where it can be run.
    static func program() -> String? {
        let chosen = variable("CC").split(separator: " ").first.map(String.init) ?? "cc"
        if chosen.contains("/") { return isProgram(chosen) ? chosen : nil }
        return variable("PATH").split(separator: ":")
            .map { "\($0)/\(chosen)" }.first(where: isProgram)
    }

    private static func variable(_ name: String) -> String {
        unsafe getenv(name).map { unsafe String(cString: $0) } ?? ""
    }

    private static func isProgram(_ path: String) -> Bool {
        unsafe access(path, X_OK) == 0
    }
}
