import Addresses
import ELFImage
import ObjectDiff
import PatchFile
import Patchability
import SystemPackage

/// Why no patch could be made.
public enum AuthoringError: Error, Sendable {
    // What the user named.
    case outputIsInput(output: String, role: String)
    case source(name: String, SourceDefect)
    case compilerFlag(String)

    // The base.
    case base(ELFError)
    case baseKind(base: String, reason: String)
    case noSymbols(base: String)

    // The compiler.
    case compilerMissing(compiler: String, errno: Errno)
    case compilerFailed(compiler: String, source: String, status: Int32)
    case compilerRefuses(compiler: String, flags: [String], status: Int32)
    case compilerKilled(compiler: String, signal: Int32)
    case compilerMachine(compiler: String)
    case object(ELFError)
    case system(name: String, action: String, errno: Errno)

    // The fix against the base.
    case noReplacement(base: String, defined: [String], suggestions: [Suggestion])
    case notKept(function: String, source: String)
    case ambiguous(name: String, base: String, candidates: [SymbolCandidate])
    case pickFails(name: String, pick: Pick, candidates: [SymbolCandidate])
    case pickUnused(name: String, pick: Pick)
    case unresolved(base: String, names: [Suggestion], missingLibraries: [String])
    case definedTwice(name: String)
    case oneFunction(names: [String], base: String)
    case originalNotReplaced(name: String, base: String, isKnown: Bool)

    // Refusals.
    case unpatchable(function: String, base: String, Refusal)
    case dataInBase(name: String, inBase: String, base: String)
    case threadLocal(name: String)
    case initialiser(section: String)
    case indirectFunction(name: String)
    case copies(function: String, base: String, copies: [RemainingCopy])
    case contract(function: String, base: String, ContractObstacle)
    case originalNotCallable(function: String, base: String, OriginalRefusal)
    case exceptions(function: String, base: String)
    case callback(name: String, reason: String)
    case addedInBase(object: String, name: String, base: String)

    // A change of sources.
    case emptyChange(patch: String)
    case commandFailed(action: String, status: Int32, output: String, log: String?)
    case commandKilled(action: String, signal: Int32)
    case workFolder(folder: String, reason: String)
    case nothingCompiled(command: String)
    case changeNotBuilt(files: [String])

    /// Of objects before and after a change.
    case change(ChangeError)
    case decoder(DecoderUnavailable)
    case patch(PatchFileError)

    /// Whether the patch was possible to make, but would not be safe.
    public var isRefusal: Bool {
        switch self {
        case .unpatchable, .dataInBase, .threadLocal, .initialiser, .indirectFunction, .copies,
            .contract, .originalNotCallable, .exceptions, .outputIsInput, .patch(.outputTaken):
            true
        case .change(let error): error.isRefusal
        default: false
        }
    }

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .outputIsInput: "build.output-is-input"
        case .source: "build.source"
        case .compilerFlag, .compilerRefuses: "build.compiler-flag"
        case .base(let error), .object(let error): error.code
        case .baseKind: "build.base-kind"
        case .noSymbols: "build.no-symbols"
        case .compilerMissing: "build.compiler-missing"
        case .compilerFailed: "build.compiler-failed"
        case .compilerKilled: "build.compiler-killed"
        case .compilerMachine: "build.compiler-machine"
        case .system: "build.system"
        case .noReplacement: "build.no-replacement"
        case .notKept: "build.not-kept"
        case .ambiguous: "build.ambiguous"
        case .pickFails, .pickUnused: "build.pick"
        case .unresolved: "build.unresolved"
        case .definedTwice: "build.defined-twice"
        case .oneFunction: "build.one-function"
        case .originalNotReplaced: "build.original-not-replaced"
        case .originalNotCallable(_, _, let refusal): "build.original-\(refusal.code)"
        case .unpatchable(_, _, let refusal): "build.\(refusal.code.rawValue)"
        case .dataInBase: "build.data-in-base"
        case .threadLocal: "build.thread-local"
        case .initialiser: "build.initialiser"
        case .indirectFunction: "build.indirect-function"
        case .copies: "build.copies"
        case .contract(_, _, let obstacle): "build.contract-\(obstacle.code)"
        case .exceptions: "build.exceptions"
        case .callback: "build.callback"
        case .addedInBase: "build.added-in-base"
        case .emptyChange: "build.empty-change"
        case .commandFailed, .commandKilled: "build.command-failed"
        case .workFolder: "build.work-folder"
        case .nothingCompiled: "build.nothing-compiled"
        case .changeNotBuilt: "build.change-not-built"
        case .change(let error): error.code
        case .decoder(let error): error.code
        case .patch(let error): error.code
        }
    }
}

/// What is wrong with a file that is named as a source.
public enum SourceDefect: Hashable, Sendable {
    case unreadable(Errno)
    case folder
    case notARegularFile
    case compiledAlready
    case namedTwice
    /// The compiler made nothing of it, and did not complain.
    case notCompiled
}

extension SourceDefect: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreadable(let errno): "\(errno)"
        case .folder: "it is a folder; name the files in it"
        case .notARegularFile:
            "it is no regular file, and is read more than once; put the source into a file"
        case .compiledAlready: "it is an ELF file; name the source that it was made from"
        case .namedTwice: "it is named twice"
        case .notCompiled:
            "the compiler made no object of it; name a file with the suffix of its language, "
                + "such as .c"
        }
    }
}

/// A symbol of the base that a name may stand for.
public struct SymbolCandidate: Hashable, Sendable {
    public let name: String
    public let address: LinkAddress
    /// Of a local symbol, as far as the base tells.
    public let sourceFile: String?
    public let isLocal: Bool
}

/// A name that was not found, and the closest ones that exist.
public struct Suggestion: Hashable, Sendable {
    public let name: String
    public let similar: [String]

    var text: String {
        if let plain = NameSuggestions.unmangled(name), similar == [plain] {
            return "'\(name)' (declare it extern \"C\" if '\(plain)' is meant)"
        }
        let hint = similar.map { "'\($0)'" }.joined(separator: " or ")
        return similar.isEmpty ? "'\(name)'" : "'\(name)' (did you mean \(hint)?)"
    }
}

extension AuthoringError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .outputIsInput, .source, .compilerFlag: inputText
        case .base, .baseKind, .noSymbols: baseText
        case .emptyChange, .commandFailed, .commandKilled, .workFolder, .nothingCompiled,
            .changeNotBuilt:
            changeText
        case .compilerMissing, .compilerFailed, .compilerRefuses, .compilerKilled,
            .compilerMachine, .object, .system, .notKept, .change, .decoder, .patch:
            toolText
        case .noReplacement, .ambiguous, .pickFails, .pickUnused, .unresolved, .definedTwice,
            .oneFunction, .originalNotReplaced:
            nameText
        case .unpatchable, .dataInBase, .threadLocal, .initialiser, .indirectFunction, .copies,
            .contract, .originalNotCallable, .exceptions, .callback, .addedInBase:
            refusalText
        }
    }

    private var inputText: String {
        switch self {
        case .outputIsInput(let output, let role):
            "cannot write the patch to '\(output)': it is \(role); name another output"
        case .source(let name, let defect):
            "cannot use the source '\(name)': \(defect)"
        case .compilerFlag(let flag):
            "the compiler flag '\(flag)' says what the compiler shall make, which 'build' does "
                + "itself; leave it out"
        default: ""
        }
    }

    private var baseText: String {
        switch self {
        case .base(let error):
            "cannot use the base: \(error)"
        case .baseKind(let base, let reason):
            "cannot make a patch for '\(base)': \(reason)"
        case .noSymbols(let base):
            "cannot make a patch for '\(base)': it is stripped, and no debug file of it was found, "
                + "so its functions have no names; install its debug symbols (Debian: the package "
                + "NAME-dbgsym), name an unstripped file of the same build, or make the patch "
                + "of the source change ('build --source', 'diff'), which takes no names"
        default: ""
        }
    }

    private var toolText: String {
        switch self {
        case .compilerMissing(let compiler, let errno):
            "cannot run the compiler '\(compiler)': \(errno); install one, or name it with --compiler"
        case .compilerFailed(let compiler, let source, let status):
            "'\(compiler)' failed on '\(source)' with exit code \(status); its messages are above"
        case .compilerRefuses(let compiler, let flags, let status):
            "'\(compiler)' refused "
                + (flags.isEmpty
                    ? "to tell what it compiles for"
                    : "its flags \(flags.map { "'\($0)'" }.joined(separator: " "))")
                + " with exit code \(status); its messages are above"
        case .compilerKilled(let compiler, let signal):
            "'\(compiler)' was ended by signal \(signal)"
        case .compilerMachine(let compiler):
            "'\(compiler)' does not compile for 64-bit x86; name another one with --compiler, "
                + "or take -m32 and the like out of the flags"
        case .object(let error):
            "cannot use what the compiler made: \(error)"
        case .system(let name, let action, let errno):
            "cannot \(action) '\(name)': \(errno)"
        case .notKept(let function, let source):
            "the compiler left out '\(function)' of '\(source)', which nothing there calls; "
                + "declare it with __attribute__((used))"
        case .change(let error): "\(error)"
        case .decoder(let error): "\(error)"
        case .patch(let error): "\(error)"
        default: ""
        }
    }

    private var changeText: String {
        switch self {
        case .emptyChange(let patch):
            "'\(patch)' names no file to change; name a change as 'diff -u' or git writes it, and "
                + "with --strip how many folders of its names to leave out"
        case .commandFailed(let action, let status, let output, let log):
            "cannot \(action): exit code \(status)"
                + (output.isEmpty ? "" : "; it said last:\n\(output)\n")
                + (log.map { "all that it said is in '\($0)'" }
                    ?? "with --work DIR all that it says is kept there")
        case .commandKilled(let action, let signal):
            "cannot \(action): it was ended by signal \(signal)"
        case .workFolder(let folder, let reason):
            "cannot build in '\(folder)': \(reason); name an empty folder, or a new one"
        case .nothingCompiled(let command):
            "'\(command)' compiled nothing that could be seen; where the sources are built "
                + "already say --configure 'make clean'; compilers are known by names such as "
                + "cc, gcc-12, x86_64-linux-gnu-g++ and clang"
        case .changeNotBuilt(let files):
            "nothing to patch: nothing that was compiled reads what the change touches: "
                + files.joined(separator: ", ")
        default: ""
        }
    }

    private var nameText: String {
        switch self {
        case .noReplacement(let base, let defined, let suggestions):
            defined.isEmpty
                ? "the fix defines no function, so there is nothing of '\(base)' to replace"
                : "the fix replaces nothing: '\(base)' has no function "
                    + suggestions.map(\.text).joined(separator: ", ")
                    + "; 'hotpatch list-symbols' shows those it has"
        case .ambiguous(let name, let base, let candidates):
            "'\(base)' has \(candidates.count) symbols '\(name)': "
                + candidates.map(\.text).joined(separator: ", ")
                + "; choose one: \(candidates.map(\.option).joined(separator: " or "))"
        case .pickFails(let name, let pick, let candidates):
            "--pick \(name)=\(pick.text) names none of the symbols '\(name)': "
                + (candidates.isEmpty
                    ? "there is none" : candidates.map(\.text).joined(separator: ", "))
        case .pickUnused(let name, let pick):
            "--pick \(name)=\(pick.text): the fix neither defines nor uses '\(name)'"
        case .unresolved(let base, let names, let missing):
            "the fix refers to \(names.map(\.text).joined(separator: ", ")), which neither '\(base)' "
                + "nor a library that it is linked with defines (what is static may have been "
                + "optimised away)"
                + (missing.isEmpty
                    ? ""
                    : "; these libraries were not found: \(missing.joined(separator: ", ")) "
                        + "(--library-path names a folder)")
        case .definedTwice(let name):
            "the fix defines '\(name)' in more than one source; give one of them another name"
        case .oneFunction(let names, let base):
            "the fix defines \(names.map { "'\($0)'" }.joined(separator: " and ")), which are names of "
                + "one function in '\(base)'; define one of them, and it replaces both"
        case .originalNotReplaced(let name, let base, let isKnown):
            "the fix uses HOTPATCH_ORIGINAL(\(name)), and does not replace '\(name)' of '\(base)': "
                + (isKnown
                    ? "call it by its name" : "there is no such function")
        default: ""
        }
    }

    private var refusalText: String {
        switch self {
        case .unpatchable(let function, let base, let refusal):
            "cannot replace '\(function)' of '\(base)': \(refusal)"
        case .dataInBase(let name, let inBase, let base):
            "the fix defines the variable '\(name)', which '\(base)' has as '\(inBase)': a second "
                + "one would not follow the first; declare it "
                + (name == inBase && !name.contains(".")
                    ? "'extern'" : "'extern' with asm(\"\(inBase)\") behind its name")
                + " to use the base's, or say --new-data \(name) to have another one"
        case .exceptions(let function, let base):
            "exceptions may pass through the new '\(function)', and the program's unwinder cannot be "
                + "told of it: neither '\(base)' nor a library that it is linked with has libgcc's "
                + "\(FrameRegistry.functionName); where none is thrown through what is replaced, "
                + "say --accept-exceptions"
        case .addedInBase(let object, let name, let base):
            "'\(object)' defines '\(name)', which '\(base)' has already: what --with adds replaces "
                + "nothing; declare it 'extern' to use the base's, or use another name"
        case .callback(let name, let reason):
            "'\(name)' cannot be called when the patch is applied (HOTPATCH_ON_APPLY): \(reason); "
                + "name a function that the fix adds"
        case .threadLocal(let name):
            "the fix defines the thread-local variable '\(name)': threads that run already have no "
                + "room for it; use one of the base, or a table by thread id"
        case .initialiser(let section):
            "the fix has a constructor or destructor (section \(section)), which nothing would run; "
                + "initialise at the first use instead"
        case .indirectFunction(let name):
            "the fix defines '\(name)' as an IFUNC, whose resolver nothing would run; "
                + "define an ordinary function"
        case .copies(let function, let base, let copies):
            "replacing '\(function)' would leave \(copies.count) "
                + "\(copies.count == 1 ? "copy" : "copies") of it in '\(base)': "
                + copies.map(\.text).joined(separator: ", ")
                + "; put those functions into the fix too, or say --accept-copies"
        case .contract(let function, let base, let obstacle):
            "cannot replace '\(function)' of '\(base)': \(obstacle)"
        case .originalNotCallable(let function, let base, let refusal):
            "'\(function)' of '\(base)' cannot be called when it is replaced: \(refusal); write what "
                + "the fix needs of it into the fix, without HOTPATCH_ORIGINAL(\(function))"
        default: ""
        }
    }
}

extension SymbolCandidate {
    fileprivate var text: String {
        if let sourceFile { return "\(address) from \(sourceFile)" }
        return "\(address)\(isLocal ? "" : " (global)")"
    }

    fileprivate var option: String {
        "--pick \(name)=\(sourceFile ?? address.description)"
    }
}

extension Pick {
    fileprivate var text: String {
        switch self {
        case .sourceFile(let file): file
        case .address(let address): address.description
        }
    }
}

extension RemainingCopy {
    /// For lists in messages.
    var text: String {
        let place = sourceFile.map { " (\($0)\(line.map { ":\($0)" } ?? ""))" } ?? ""
        switch kind {
        case .clone: return "the clone '\(function)' at \(address)"
        case .inlined: return "inlined in '\(function)' at \(address)\(place)"
        }
    }
}
