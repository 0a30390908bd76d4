import FuzzDriver
import HotpatchKit

/// Patch files of strangers: verified, and what passes is linked, near and far.
@main struct FuzzPatch {
    static func main() {
        fuzz { bytes in
            guard let patch = try? PatchFile(bytes: bytes, name: "input") else { return }
            let base = RemoteAddress(rawValue: 0x5555_5555_4000)
            guard let range = AddressRange(start: base, count: 1 << 20) else { return }
            let target = PatchedObject(
                path: "/input", bias: LoadBias(rawValue: base.rawValue), range: range,
                entryCode: [:], padding: [:])
            for resolution: SymbolResolution in [
                .near(base), .far(RemoteAddress(rawValue: 0x7fff_0000_0000), isFunction: true),
                .far(RemoteAddress(rawValue: 0x7fff_0000_0000), isFunction: false),
                .indirect(resolver: base), .absent,
                .threadLocal(
                    ThreadLocalBinding(module: 1, offset: 8, threadPointerOffset: -8)),
            ] {
                let names =
                    patch.manifest.baseSymbols.map(\.name) + patch.manifest.imports.map(\.name)
                let bindings = Dictionary(
                    names.map { ($0, resolution) }, uniquingKeysWith: { first, _ in first })
                guard
                    let plan = try? PayloadPlan(patch: patch, bindings: bindings, target: target)
                else { continue }
                _ = try? plan.link(at: RemoteAddress(rawValue: 0x5555_5550_0000))
            }
        }
    }
}
