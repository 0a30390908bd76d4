import Addresses
import ELFImage
import Patchability

/// Why no patch can be made of objects before and after a change.
public enum ChangeError: Error, Sendable {
    case elf(ELFError)
    case decoder(DecoderUnavailable)
    /// The objects before and after do not go together.
    case pairing(after: String, reason: String)
    /// No function differs.
    case nothingToPatch(NothingChanged)

    // What cannot be switched.
    case sharedSection(object: String, section: String, functions: [String])
    case changedData(object: String, name: String, place: DataPlace)
    case changedLayout(object: String, LayoutChange)
    case changedSignature(function: String, SignatureChange, caller: Place)
    case takenAddress(function: String, SignatureChange, holder: String)
    case changedInitialiser(object: String, name: String)
    case callback(object: String, name: String)
    case newThreadLocal(object: String, name: String)
    case unclearVariable(object: String, name: String)
    /// What was one function under two names has become two.
    case splitFunction(object: String, name: String, other: String)
    /// An object that is not compared has something of that name.
    case definedElsewhere(object: String, name: String, base: String)
    case relocation(object: String, function: String, type: UInt32, symbol: String)
    case farData(function: String, name: String, library: String)
    case threadLocalAccess(object: String, function: String, symbol: String)
    case foreignThreadLocal(object: String, function: String, symbol: String, base: String)
    case threadDescriptor(object: String, function: String, symbol: String)

    // The base.
    /// None of the objects that changed is a part of it.
    case otherProgram(objects: Int)
    case baseDiffers(BaseDifference)
    case notInBase(object: String, name: String, base: String)
    case ambiguous(object: String, name: String, base: String, addresses: [LinkAddress])
    case unproved(object: String, name: String, base: String, address: LinkAddress)

    /// Whether a patch could not be safe, as opposed to files that cannot be read.
    public var isRefusal: Bool {
        switch self {
        case .elf, .decoder, .pairing: false
        default: true
        }
    }

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .elf(let error): error.code
        case .decoder(let error): error.code
        case .pairing: "diff.pairing"
        case .nothingToPatch: "diff.nothing-to-patch"
        case .sharedSection: "diff.shared-section"
        case .changedData: "diff.changed-data"
        case .changedLayout: "diff.changed-layout"
        case .changedSignature, .takenAddress: "diff.changed-signature"
        case .changedInitialiser: "diff.changed-initialiser"
        case .callback: "diff.callback"
        case .newThreadLocal: "diff.new-thread-local"
        case .unclearVariable: "diff.unclear-variable"
        case .splitFunction: "diff.split-function"
        case .definedElsewhere: "diff.defined-elsewhere"
        case .relocation: "diff.relocation"
        case .farData: "diff.far-data"
        case .threadLocalAccess: "diff.thread-local-access"
        case .foreignThreadLocal: "diff.foreign-thread-local"
        case .threadDescriptor: "diff.thread-descriptor"
        case .otherProgram: "diff.other-program"
        case .baseDiffers: "diff.base-differs"
        case .notInBase: "diff.not-in-base"
        case .ambiguous: "diff.ambiguous"
        case .unproved: "diff.unproved"
        }
    }
}

/// What was compared, where nothing has to be replaced.
public struct NothingChanged: Hashable, Sendable {
    /// The functions that were compared.
    public let functions: Int
    /// Those of them that differ by line numbers only.
    public let movedLines: Int
    /// Functions that are only after the change, and that nothing refers to.
    public let added: [String]
}

/// Where a datum differs.
public struct DataPlace: Hashable, Sendable {
    /// Bytes from its start.
    public let offset: Int
    public let sizeBefore: UInt64
    public let sizeAfter: UInt64
    public let isConstant: Bool
}

/// Where the base is not what the object before would have become.
public struct BaseDifference: Hashable, Sendable {
    public let object: String
    /// The function or datum.
    public let name: String
    public let base: String
    public let address: LinkAddress
    /// Bytes from its start, in the object.
    public let offset: Int
    /// What the object has there, and the base.
    public let expected: String
    public let found: String
}

extension ChangeError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .elf(let error): "\(error)"
        case .decoder(let error): "\(error)"
        case .pairing(let after, let reason):
            "cannot compare '\(after)': \(reason)"
        case .nothingToPatch(let what): what.text
        case .otherProgram(let objects):
            "the change reaches \(objects) \(objects == 1 ? "object" : "objects"), and the base has "
                + "no function of \(objects == 1 ? "it" : "any") as it was compiled before; name the "
                + "program or library that they go into, built of the same sources with the same "
                + "compiler and flags"
        case .baseDiffers(let difference): difference.text
        case .notInBase(let object, let name, let base):
            "'\(name)' of '\(object)' is not to be found in '\(base)', which has no symbol of that "
                + "name, and no function that refers to it; name the base that was linked of "
                + "this object, with its symbols"
        case .ambiguous(let object, let name, let base, let addresses):
            "'\(name)' of '\(object)' may be any of \(addresses.count) in '\(base)': "
                + addresses.map(\.description).joined(separator: ", ")
                + "; nothing tells them apart"
        case .unproved(let object, let name, let base, let address):
            "the code of '\(name)' of '\(object)' is at \(address) in '\(base)', which has no symbols, "
                + "and too little tells it from a function of another name; name the objects of "
                + "those who call it before and after too"
        default: dataText
        }
    }

    private var dataText: String {
        switch self {
        case .sharedSection(let object, let section, let functions):
            "section \(section) of '\(object)' has changed and holds several functions ("
                + functions.prefix(4).joined(separator: ", ")
                + (functions.count > 4 ? ", …" : "")
                + "); compile before and after with -ffunction-sections -fdata-sections"
        case .changedData(let object, let name, let place):
            place.text(of: name, in: object)
        case .changedLayout(let object, let change):
            change.text(in: object)
        case .changedSignature(let function, let change, let caller):
            "the change makes '\(function)' a '\(change.after)' where it was a '\(change.before)', and "
                + "\(caller), which is in none of the objects, calls it as it was; name the object "
                + "with it before and after too"
        case .takenAddress(let function, let change, let holder):
            "the change makes '\(function)' a '\(change.after)' where it was a '\(change.before)', and "
                + "\(holder) has its address, by which it is called as it was; leave the old "
                + "function as it is, and give the new one another name"
        case .changedInitialiser(let object, let name):
            "the change alters what runs when the program starts (\(name) of '\(object)'), which "
                + "has run already; make the same change where a function first needs it"
        case .callback(let object, let name):
            "'\(name)' of '\(object)' cannot be called when the patch is applied "
                + "(HOTPATCH_ON_APPLY): the base has it already, or the object does not define it; "
                + "name a function that the change adds"
        case .newThreadLocal(let object, let name):
            "the change adds the thread-local variable '\(name)' in '\(object)': threads that run "
                + "already have no room for it; use one that exists, or a table by thread id"
        case .unclearVariable(let object, let name):
            "whether '\(name)' of '\(object)' is a variable that the program has already cannot be "
                + "told: one like it is gone, or several have that name; where it is the same, keep "
                + "its name, and where it is new, give it a name of its own and leave the old one"
        case .splitFunction(let object, let name, let other):
            "'\(name)' and '\(other)' of '\(object)' were names of one function, and are two "
                + "functions after the change: whom a caller of the one means cannot be told; "
                + "let both do the same, or give the new function another name"
        case .definedElsewhere(let object, let name, let base):
            "'\(name)' is new in '\(object)', and '\(base)' has it already, of an object that is not "
                + "compared; name that object before and after too"
        case .relocation(let object, let function, let type, let symbol):
            "'\(function)' of '\(object)' refers to '\(symbol)' in a way (relocation type \(type)) "
                + "that only code at a fixed address can; compile with -fPIE or -fPIC"
        case .farData(let function, let name, let library):
            "'\(function)' refers to the variable '\(name)' of \(library) as to one of its own program, "
                + "which has no copy of it, as the base was linked; compile before and after with "
                + "-mno-direct-extern-access or -fPIC, or use a function of the base that has it"
        case .threadLocalAccess(let object, let function, let symbol):
            "'\(function)' of '\(object)' counts on the place of the thread-local variable "
                + "'\(symbol)' in a program, and the base is a library; compile with -fPIC"
        case .foreignThreadLocal(let object, let function, let symbol, let base):
            "'\(function)' of '\(object)' uses the thread-local variable '\(symbol)', which is not one "
                + "of '\(base)'; a patch reaches those of its base only: use a function that has it"
        case .threadDescriptor(let object, let function, let symbol):
            "'\(function)' of '\(object)' asks for the thread-local variable '\(symbol)' by a "
                + "descriptor (-mtls-dialect=gnu2), which a patch of a library has none of; make the "
                + "change in a function that does not use it, which this one can call"
        default: ""
        }
    }
}

extension NothingChanged {
    fileprivate var text: String {
        var reasons = ["\(functions) functions were compared, and each is the same after"]
        if movedLines > 0 { reasons.append("\(movedLines) of them but for line numbers") }
        if !added.isEmpty {
            reasons.append(
                "nothing uses what is new (" + added.prefix(4).joined(separator: ", ") + ")")
        }
        return "there is nothing to patch: " + reasons.joined(separator: "; ")
            + ". Either the change has no effect on these objects, or others hold it"
    }
}

extension DataPlace {
    fileprivate func text(of name: String, in object: String) -> String {
        let what = isConstant ? "constant" : "variable"
        let how =
            sizeBefore == sizeAfter
            ? "other bytes from offset \(offset) on"
            : "\(sizeAfter) bytes in place of \(sizeBefore)"
        return "the change gives the \(what) '\(name)' of '\(object)' \(how): "
            + (isConstant
                ? "code that does not change goes on with the old one"
                : "the program has it already, with whatever it has become since")
            + (isConstant || sizeBefore != sizeAfter
                ? "; use another name"
                : "; to have it set there, add FIX.c with 'void set(void) { \(name) = …; } "
                    + "HOTPATCH_ON_APPLY(set);' by --with, and say --accept-data \(name)")
    }
}

extension LayoutChange {
    fileprivate func text(in object: String) -> String {
        let place = file.map { " (\($0):\(line))" } ?? ""
        let how =
            switch what {
            case .added(let member): "adds its member '\(member)'"
            case .moved(let member, let from, let to):
                "moves its member '\(member)' from byte \(from / 8) to byte \(to / 8)"
            case .resized(let member): "gives its member '\(member)' another size"
            case .size(let from, let to): "gives it \(to) bytes in place of \(from)"
            case .renumbered(let enumerator, let from, let to):
                "gives its '\(enumerator)' the number \(to) in place of \(from)"
            }
        if case .renumbered = what {
            return
                "the change alters the enumeration '\(type)'\(place), as '\(object)' has it: it \(how), "
                + "and the program has data with the old number; put what is new behind the rest, "
                + "or, where no data keeps such a number beyond the functions that are replaced, "
                + "say --accept-layout \(type)"
        }
        return
            "the change alters the structure '\(type)'\(place), as '\(object)' has it: it \(how), "
            + "and the program has data of the old layout; keep the layout, with the new members "
            + "in shadow data beside it ('hotpatch_shadow_get_or_attach(object, 1, sizeof *more, "
            + "NULL)', see hotpatch.h), or, where no data of it outlives the functions that are "
            + "replaced or a callback migrates it (HOTPATCH_ON_APPLY in a file that --with adds), "
            + "say --accept-layout \(type)"
    }
}

extension BaseDifference {
    fileprivate var text: String {
        "'\(base)' was not linked of '\(object)': '\(name)' at \(address) differs from offset "
            + "\(offset) on: the object has \(expected), the base \(found); compile the object "
            + "with the compiler and the flags of the base, from the source that the base was "
            + "made of"
    }
}
