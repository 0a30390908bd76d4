import Addresses
import ELFImage
import PatchFile
import Patchability

/// Whether anything but a thread that runs in a payload can ever hold an address
/// of it. Where nothing can, its room may be used again as soon as no thread is in
/// it and no jump leads there.
///
/// It takes little to lose that: a string whose address is passed on, a variable
/// whose address is taken, a function pointer; and any call, whose return address
/// may lie on the stack of a coroutine that sleeps. What is left are fixes that
/// check, compute and jump on. A thread that a signal handler has switched out in
/// the middle of a function is not seen (``SwitchOptions/reusesRooms``).
enum Confinement {
    static func holds(for object: PatchObject, _ manifest: PatchManifest) -> Bool {
        let functions = manifest.functions
        // A thunk calls the replacement, and the moved original is called. An unwinder
        // keeps the address of tables that it was told of.
        guard manifest.runsOnce.isEmpty,
            functions.allSatisfy({ $0.contract == nil && !$0.callsOriginal }),
            let decoder = try? Decoder()
        else { return false }
        // While a switch is interrupted, the moved entries run.
        for function in functions where hasCall(function, decoder) { return false }
        return object.pieces.allSatisfy { piece in
            if piece.isUnwindTable { return true }
            return piece.section.isExecutable
                ? isConfined(piece, of: object, decoder) : !piece.holdsOwnAddress(of: object)
        }
    }

    /// Whether a call is among the first instructions of the original, or may be.
    private static func hasCall(_ function: ReplacedFunction, _ decoder: borrowing Decoder) -> Bool
    {
        guard let start = function.site.distance(from: function.range.start) else { return true }
        var position = Int(start)
        let end = min(position + Int(function.siteLength), function.original.count)
        while position < end {
            let address = LinkAddress(rawValue: UInt64(position))
            guard let next = decoder.decode(function.original, at: position, address: address),
                next.flow != .call
            else { return true }
            position += next.length
        }
        return false
    }

    private static func isConfined(
        _ piece: PatchObject.Piece, of object: PatchObject, _ decoder: borrowing Decoder
    ) -> Bool {
        let relocations = piece.relocations.sorted { $0.offset < $1.offset }
        var pending = relocations[...]
        var position = 0
        while position < piece.bytes.count {
            let address = LinkAddress(rawValue: UInt64(position))
            guard let code = decoder.decode(piece.bytes, at: position, address: address) else {
                return false
            }
            let end = position + code.length
            var relocation: Relocation?
            while let next = pending.first, next.offset.rawValue < UInt64(end) {
                // Two in one instruction: none of what compilers write.
                if relocation != nil { return false }
                relocation = next
                pending = pending.dropFirst()
            }
            guard isConfined(code, relocation, in: piece, of: object) else { return false }
            position = end
        }
        return true
    }

    private static func isConfined(
        _ code: Instruction<LinkAddress>, _ relocation: Relocation?, in piece: PatchObject.Piece,
        of object: PatchObject
    ) -> Bool {
        var leadsOut = true
        if let relocation {
            guard let (meaning, _) = try? object.reference(of: relocation, in: piece.section),
                let type = PatchRelocation(rawValue: relocation.type.rawValue)
            else { return false }
            leadsOut = !meaning.isOwn && !(meaning.mayHaveStub && type.isDirect)
            // A word of the offset table for one of the payload's own: an address.
            if !leadsOut, type.isTableWord { return false }
        }
        switch code.flow {
        // Whatever is called may jump on to code that switches stacks.
        case .call: return false
        case .jump, .conditionalJump, .return, .stop, .interrupt: return true
        case .next:
            guard code.opcode == .lea else { return relocation == nil || leadsOut || code.isAccess }
            // The address of something else may be taken.
            return code.ripRelativeAddress == nil || relocation != nil && leadsOut
        }
    }
}

extension Instruction {
    /// Whether a rip-relative operand is read or written, so that its address goes
    /// nowhere.
    fileprivate var isAccess: Bool { ripRelativeAddress != nil && opcode != .lea }
}

extension PatchObject.Meaning {
    fileprivate var isOwn: Bool {
        switch self {
        // An indirect function's address is that of the payload's stub for it.
        case .own, .original, .bound(.indirect): true
        case .absolute, .bound: false
        }
    }

    /// Whether the payload may reach it by a stub of its own.
    fileprivate var mayHaveStub: Bool {
        if case .bound(.far(_, isFunction: true)) = self { true } else { false }
    }
}

extension PatchObject.Piece {
    /// Its addresses are read by debuggers and by unwinding, on the spot.
    fileprivate var isUnwindTable: Bool { section.name == ".eh_frame" }

    /// Whether a pointer to something of the patch itself lies in it.
    fileprivate func holdsOwnAddress(of object: PatchObject) -> Bool {
        relocations.contains { relocation in
            guard let (meaning, _) = try? object.reference(of: relocation, in: section) else {
                return true
            }
            return meaning.isOwn
        }
    }
}

extension PatchRelocation {
    /// Whether it names the place itself, in code.
    fileprivate var isDirect: Bool {
        [.pc32, .plt32, .absolute32, .absolute32Signed].contains(self)
    }

    /// Whether it goes by way of a word of the global offset table.
    fileprivate var isTableWord: Bool {
        switch self {
        case .gotPCRelative, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable,
            .tlsGeneralDynamic, .tlsInitialExec:
            true
        case .none, .absolute64, .absolute32, .absolute32Signed, .pc32, .plt32, .pc64: false
        }
    }
}
