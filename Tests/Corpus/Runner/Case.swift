import JSONText
import SystemPackage
import TestSupport

/// A package whose fixes are tried, as `cases/NAME/package.json` tells.
struct Package {
    let name: String
    /// The one to prefer; another is taken where it cannot be had.
    let version: String
    /// Commands of the shell, in the folder of the sources.
    let configure: String
    let make: String
    /// The program, below the folder of the sources.
    let program: String
    /// Where the scripts are: start, ready, load, reproduce, and serve where the daemon
    /// needs another server.
    let scripts: FilePath
}

/// One fix of a package, and what is expected of it.
struct Case {
    enum Expectation {
        /// It is applied, does its work and is reverted, under load.
        case live(Reproducer?)
        /// It is refused, with that code and all of these words.
        case refused(code: String, says: [String])
    }

    /// A request that the fix makes a difference to.
    struct Reproducer {
        let asks: String
        let unfixed: String
        let fixed: String
        /// Whether what is not fixed is of no use behind it, and is tried by itself.
        let spoils: Bool

        /// Whether what is not fixed does not survive it.
        var kills: Bool { unfixed.hasPrefix(Daemon.deathPrefix) }

        var isTriedAlone: Bool { kills || spoils }
    }

    let package: Package
    /// The package's name and the fix's.
    let name: String
    /// The fix's own name, which `reproduce` is told.
    let fix: String
    let patch: String
    /// What kind of change it is.
    let change: String
    let expectation: Expectation

    /// All cases of a folder, in the order of their names.
    static func all(in folder: FilePath) throws -> [Case] {
        let names = try Command.run("ls", [folder.string]).output.split(separator: "\n")
        return try names.flatMap { try cases(in: folder.appending(String($0))) }
    }

    private static func cases(in folder: FilePath) throws -> [Case] {
        let file = folder.appending("package.json")
        do {
            let document = JSONCursor(try JSONValue(parsing: try file.bytes()))
            try document.allowOnly(
                ["package", "version", "configure", "make", "program", "cases"])
            let package = Package(
                name: try document.member("package").string(),
                version: try document.member("version").string(),
                configure: try document.optionalMember("configure")?.string() ?? "",
                make: try document.member("make").string(),
                program: try document.member("program").string(), scripts: folder)
            return try document.member("cases").elements().map { try Case($0, of: package) }
        } catch let error as JSONError {
            throw TestSupportError("\(file): \(error)")
        }
    }

    private init(_ document: JSONCursor, of package: Package) throws(JSONError) {
        try document.allowOnly(
            ["name", "patch", "change", "expect", "reproducer", "code", "says"])
        self.package = package
        fix = try document.member("name").string()
        name = "\(package.name)-\(fix)"
        patch = try document.member("patch").string()
        change = try document.member("change").string()
        let expect = try document.member("expect")
        switch try expect.string() {
        case "live":
            guard let reproducer = try document.optionalMember("reproducer") else {
                expectation = .live(nil)
                return
            }
            expectation = .live(
                Reproducer(
                    asks: try reproducer.member("asks").string(),
                    unfixed: try reproducer.member("unfixed").string(),
                    fixed: try reproducer.member("fixed").string(),
                    spoils: try reproducer.optionalMember("spoils")?.bool() ?? false))
        case "refused":
            var words: [String] = []
            for word in try document.member("says").elements() { words.append(try word.string()) }
            expectation = .refused(code: try document.member("code").string(), says: words)
        default: throw expect.mismatch("'live' or 'refused'")
        }
    }
}
