import Addresses
import PatchFile

/// What stands between detours and replacements.
extension Relocator {
    /// Writes what runs once, all but the gates, and returns where it keeps what it has
    /// run.
    func writeOnce(
        _ runsOnce: RunsOnce, _ registries: [RemoteAddress], into image: inout PayloadImage
    ) throws(LinkError) -> LinkedPayload.OnceBlock? {
        guard let once = layout.once else { return nil }
        let block = address(at: once.block)
        let tables = address(at: layout.unwind.lowerBound)
        var calls = zip(registries, once.objects).map { registry, object in
            // __register_frame_info(tables, object)
            OnceRoutine.Call(
                function: registry, arguments: (tables.rawValue, address(at: object).rawValue))
        }
        guard calls.count == runsOnce.registries.count else {
            throw .unbound(symbol: FrameRegistry.functionName)
        }
        for name in runsOnce.callbacks {
            calls.append(OnceRoutine.Call(function: try own(name, for: "the callback")))
        }
        image.write(OnceRoutine.table(calls), at: once.table)
        image.write(
            OnceRoutine.code(table: address(at: once.table), block: block), at: once.routine)
        image.write(PayloadHeader.littleEndian(OnceRoutine.pending), at: once.block)
        return LinkedPayload.OnceBlock(
            place: block, registered: UInt64(registries.count) * OnceRoutine.callSize)
    }

    /// Writes the thunks and gates, and returns where the detour of each function leads.
    func writeThunks(
        for functions: [ReplacedFunction], into image: inout PayloadImage
    ) throws(LinkError) -> [RemoteAddress] {
        var entries: [RemoteAddress] = []
        for (index, function) in functions.enumerated() {
            var entry = try own(function.replacement, for: "the detour")
            if let once = layout.once {
                entry = try writeGate(index, of: once, before: entry, into: &image)
            }
            if let contract = function.contract, let offset = layout.thunks[index] {
                let place = address(at: offset)
                guard let code = EntryThunk.code(for: contract, at: place, calling: entry) else {
                    throw .outOfRange(
                        relocation: "the entry thunk", symbol: function.replacement,
                        place: place, target: entry)
                }
                image.write(code, at: offset)
                entry = place
            }
            entries.append(entry)
        }
        return entries
    }

    private func writeGate(
        _ index: Int, of once: OnceLayout, before replacement: RemoteAddress,
        into image: inout PayloadImage
    ) throws(LinkError) -> RemoteAddress {
        let place = address(at: once.gates[index])
        let word = address(at: once.block)
        guard
            let code = Gate.code(
                at: place, word: word, routine: routine(of: once), replacement: replacement)
        else { throw .outOfReach(stub: place, word: word) }
        image.write(code, at: once.gates[index])
        return place
    }

    private func routine(of once: OnceLayout) -> RemoteAddress {
        address(at: once.routine + OnceRoutine.entry)
    }

    /// Where a function of the patch's object stands.
    private func own(_ name: String, for use: String) throws(LinkError) -> RemoteAddress {
        guard let own = object.own(named: name) else { throw .unbound(symbol: name) }
        let meaning = PatchObject.Meaning.own(section: own.section, offset: own.offset)
        return RemoteAddress(rawValue: try address(of: meaning, for: use))
    }

    /// Writes the unwind table of thunks, gates and what these call.
    func writeThunkFrames(
        for functions: [ReplacedFunction], into image: inout PayloadImage
    ) throws(LinkError) {
        let place = address(at: layout.unwind.lowerBound)
        var codes: [ThunkFrames.Code] = []
        for (index, function) in functions.enumerated() {
            guard let contract = function.contract, let offset = layout.thunks[index],
                let range = AddressRange(
                    start: address(at: offset), count: EntryThunk.length(for: contract))
            else { continue }
            codes.append(.thunk(range))
        }
        if let once = layout.once {
            if let range = AddressRange(
                start: routine(of: once), count: OnceRoutine.length - OnceRoutine.entry)
            {
                codes.append(.thunk(range))
            }
            codes += once.gates.compactMap { offset in
                AddressRange(start: address(at: offset), count: Gate.length).map { .gate($0) }
            }
        }
        guard let table = ThunkFrames.table(for: codes, at: place) else {
            throw .outOfReach(stub: address(at: layout.readOnly), word: place)
        }
        image.write(table, at: layout.unwind.lowerBound)
    }
}
