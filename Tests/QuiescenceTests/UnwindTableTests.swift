import Addresses
import CUnwind
import ELFImage
import SystemPackage
import TestSupport
import Testing

@testable import Quiescence

/// Unwind tables as they are read from a process, which may have forged them.
@Suite struct UnwindTableTests {
    /// The table of a real program and the code that it is for.
    private struct Sample {
        let table: UnwindTable
        let bytes: [UInt8]
        let functions: [AddressRange<LinkAddress>]

        init() throws {
            let image = try ELFImage.open(path: try Fixture.compile("plain", flags: ["-O2"]))
            let section = try #require(image.section(named: ".eh_frame"))
            let segment = try #require(image.segments.first { $0.flags.contains(.executable) })
            bytes = try image.bytes(of: section).array()
            table = UnwindTable(
                name: "sample",
                code: try #require(
                    AddressRange(
                        start: RemoteAddress(rawValue: segment.address.rawValue & ~4095),
                        end: RemoteAddress(
                            rawValue: (segment.address.rawValue + segment.memorySize) | 4095))),
                place: try #require(
                    AddressRange(
                        start: RemoteAddress(rawValue: section.address.rawValue),
                        count: UInt64(bytes.count))))
            functions = try image.unwindRanges().map(\.range)
        }
    }

    /// Walks from the first instruction of each function with a stack of ones, and
    /// returns how many frames were found in all.
    private func walk(_ sample: Sample, _ bytes: [UInt8]) throws -> Int {
        guard let space = unsafe cunwind_open() else { throw Errno.noMemory }
        defer { unsafe cunwind_close(space) }
        let image = sample.table.image(of: bytes)
        let isAdded = unsafe cunwind_add_image(space, "sample", image, image.count, 0)
        let isReady = unsafe cunwind_prepare(
            space, 1,
            { _, _, word in
                unsafe word.pointee = 1
                return true
            }, UnsafeMutableRawPointer(space))
        guard isAdded, isReady else { return 0 }
        var total = 0
        var frames = [cunwind_frame](repeating: cunwind_frame(), count: 64)
        for function in sample.functions {
            var registers = [UInt64](repeating: 0x7000_0000, count: 17)
            registers[16] = function.start.rawValue
            var isComplete = false
            total += unsafe cunwind_walk(space, 1, registers, &frames, frames.count, &isComplete)
        }
        return total
    }

    @Test func aTableBecomesAnObjectThatIsReadLikeAny() throws {
        let sample = try Sample()
        let image = try ELFImage.parse(
            bytes: sample.table.image(of: sample.bytes), name: "made of a table")
        #expect(try image.unwindRanges().map(\.range) == sample.functions)
        // Each walk finds the frame that it starts with, and its caller; but nobody
        // calls _start.
        #expect(try walk(sample, sample.bytes) == 2 * sample.functions.count - 1)
    }

    @Test func aForgedTableDoesNoHarm() throws {
        let sample = try Sample()
        var mutator = Mutator(seed: 11)
        var frames = 0
        for _ in 0..<400 { frames += try walk(sample, mutator.mutated(sample.bytes)) }
        // Most mutations leave most functions as they are.
        #expect(frames > 400 * sample.functions.count)
        for bytes in [[], [0], [0xff, 0xff, 0xff, 0xff], [UInt8](repeating: 0xff, count: 4096)] {
            _ = try walk(sample, bytes)
        }
    }
}
