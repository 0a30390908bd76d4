import Glibc
import SystemPackage
import TestSupport
import Testing

extension RealProgramsTests {
    /// The replies to a hundred commands of every kind, and redis-benchmark.
    @Test func redis() throws {
        let folder = try TemporaryDirectory()
        let socket = folder.path.appending("socket")
        let program = try RealPrograms.path("redis/src/redis-server")
        let server = try RunningCommand(
            program.string,
            [
                "--port", "0", "--unixsocket", socket.string, "--dir", folder.path.string,
                "--save", "", "--io-threads", "2",
            ])
        try wait(until: "redis listens") { unsafe access(socket.string, F_OK) == 0 }
        let client = try RealPrograms.path("redis/src/redis-cli")
        let benchmark = try RealPrograms.path("redis/src/redis-benchmark")
        let commands = RealPrograms.resource("redis.commands")
        try expectNoDifference(in: server.pid, of: program) {
            let replies = try RealPrograms.shell("\(client) -s \(socket) <\(commands)")
            // An error ends the benchmark.
            let tests = "set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,zadd,zpopmin,lrange_100,mset"
            let rounds = try RealPrograms.shell(
                "\(benchmark) -s \(socket) -q --csv -n 3000 -c 20 -t \(tests)")
            try #require(rounds.split(separator: "\n").count == 15, "\(rounds)")
            let statistics = try RealPrograms.shell("\(client) -s \(socket) info errorstats")
            _ = try RealPrograms.shell("\(client) -s \(socket) config resetstat")
            return (replies + statistics).split(separator: "\n").map { String($0) }
        }
        #expect(server.isRunning)
    }
}
