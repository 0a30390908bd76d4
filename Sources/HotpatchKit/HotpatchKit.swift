/// `hotpatch` for Swift programs: the rooms, under one name.
///
/// The path from a file and a process to a patched function:
/// ``Authoring`` makes a ``PatchFile`` from C source, ``TargetProcess`` is the
/// process, and ``Switchover`` applies the one to the other, reverts it, and tells
/// what is applied. Whatever the command line shows comes from here.
///
/// The engine is synchronous and belongs to the thread that calls it: ptrace
/// answers only the thread that seized a process.
@_exported import Addresses
@_exported import Authoring
@_exported import Coverage
@_exported import Diagnosis
@_exported import ELFImage
@_exported import LiveProcess
@_exported import PatchFile
@_exported import PatchLinker
@_exported import PatchStore
@_exported import Patchability
@_exported import Quiescence
@_exported import Startup
@_exported import Switchover
@_exported import Threads
@_exported import Watching
