/// libFuzzer's own main function, for programs that have one already
/// (compiler-rt, fuzzer/FuzzerInterface.h).
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// What is done with each input. Set once, before the first input.
nonisolated(unsafe) private var body: ([UInt8]) -> Void = { _ in }

/// Runs `test` with one input after another, as the command line says. A trap is
/// a crash, which libFuzzer reports with its input.
public func fuzz(_ test: @escaping ([UInt8]) -> Void) {
    unsafe body = test
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv
    _ = unsafe runDriver(&count, &arguments) { data, size in
        unsafe body(Array(UnsafeBufferPointer(start: data, count: size)))
        return 0
    }
}
