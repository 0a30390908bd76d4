import Addresses
import LiveProcess
import TestSupport
import Testing

@Suite struct WriteTests {
    @Test func textIsWrittenWhileAllStandStill() throws {
        let target = try StartedTarget("threads", ["2"])
        let main = RemoteAddress(
            rawValue: try #require(UInt64(target.greeting.dropFirst(3), radix: 16)))
        let original = try target.process.read(main, count: 5)
        let range = try #require(AddressRange(start: main, count: 5))
        #expect(try target.process.prefault(text: [range]))
        #expect(try target.process.read(main, count: 5) == original)
        for bytes in [[0xe9, 1, 2, 3, 4], original] as [[UInt8]] {
            let outcome = try target.process.withAllThreadsStopped {
                process -> Result<Void, LiveProcessError> in
                do throws(LiveProcessError) {
                    return .success(try process.write(bytes, at: main))
                } catch {
                    return .failure(error)
                }
            }
            guard case .done(let result, _) = outcome else {
                Issue.record("given up")
                return
            }
            try result.get()
            #expect(try target.process.read(main, count: 5) == bytes)
        }
        target.victim.closeInput()
        #expect(try target.victim.waitForExit() == .exited(0))
    }

    @Test func whatIsNotMappedIsNotWritten() throws {
        let target = try StartedTarget("threads", ["1"])
        let outcome = try target.process.withAllThreadsStopped { process -> LiveProcessError? in
            do throws(LiveProcessError) {
                try process.write([1, 2], at: RemoteAddress(rawValue: 64))
                return nil
            } catch {
                return error
            }
        }
        guard case .done(.unwritable?, _) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(throws: LiveProcessError.self) {
            let range = AddressRange(start: RemoteAddress(rawValue: 64), count: 2)
            _ = try target.process.prefault(text: [try #require(range)])
        }
    }
}
