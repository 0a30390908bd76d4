import Addresses
import LiveProcess
import PatchFile
import PatchLinker
import Patchability
import Quiescence

/// Where no thread may be at the moment of a switch.
struct SwitchGuards {
    private var stretches: [GuardedCode.Stretch] = []

    var code: GuardedCode { GuardedCode(stretches) }

    /// The bytes that a change rewrites. To stand at a site's first byte is safe:
    /// the thread executes either what was there or what comes. An island is
    /// another matter, since its padding may come back.
    mutating func addPlaces(of change: PatchSwitch.Change) {
        let detour = change.detour
        stretches.append(
            .site(detour.site, length: UInt64(detour.original.count), of: detour.symbol))
        guard let island = detour.island, change.before != .original else { return }
        stretches.append(.bytes(island.address, length: 5, of: detour.symbol))
    }

    /// An original behind its entry, and its fragments.
    mutating func addOriginal(_ function: ReplacedFunction, at base: BaseObject) {
        let bias = base.object.bias
        let site = bias.remote(function.site)
        let neverReturns = base.neverReturns(function)
        if let range = bias.remote(function.range),
            let stretch = GuardedCode.Stretch.function(
                range, entry: site, endIsReturn: function.mayEndInCall, symbol: function.symbol,
                neverReturns: neverReturns)
        {
            stretches.append(stretch)
        }
        for fragment in function.fragments {
            if let range = bias.remote(fragment),
                let stretch = GuardedCode.Stretch.piece(
                    range, symbol: function.symbol, neverReturns: neverReturns)
            {
                stretches.append(stretch)
            }
        }
    }

    /// The first instructions of the original at `site`, wherever they were moved to:
    /// a thread that an interrupted switch has led there is in the original.
    mutating func addMovedEntries(ofOriginalAt site: RemoteAddress, in stack: PatchStack) {
        for payload in stack.payloads {
            for detour in payload.record.detours where detour.site == site {
                if let range = payload.record.movedEntry(of: detour),
                    let stretch = GuardedCode.Stretch.piece(range, symbol: detour.symbol)
                {
                    stretches.append(stretch)
                }
            }
        }
    }

    /// All code of a payload: a thread there would go on beside others elsewhere.
    mutating func addPayload(_ record: PayloadRecord) {
        guard let code = record.extent.codeRange,
            let stretch = GuardedCode.Stretch.piece(code, symbol: record.name),
            !stretches.contains(stretch)
        else { return }
        stretches.append(stretch)
    }

    /// A stub whose words are going to mean something else.
    mutating func addStub(of detour: PayloadRecord.Detour) {
        stretches.append(.bytes(detour.stub, length: DetourStub.length, of: detour.symbol))
    }
}

extension ReplacedFunction {
    /// Whether the last bytes can be a call (E8 cd; FF /2 with up to six bytes
    /// behind the opcode), so that the address behind them is a return address.
    fileprivate var mayEndInCall: Bool {
        let direct = original.count >= 5 && original[original.count - 5] == 0xe8
        return direct || original.suffix(7).dropLast().contains(0xff)
    }
}
