import Glibc
import SystemPackage

/// An open file that is no symbolic link, closed with this value and at exec.
package struct OpenFile: ~Copyable {
    package let rawValue: Int32

    var descriptor: FileDescriptor { FileDescriptor(rawValue: rawValue) }

    package init(_ path: FilePath, _ mode: Int32, permissions: mode_t = 0) throws(Errno) {
        while true {
            let result = unsafe open(path.string, mode | O_NOFOLLOW | O_CLOEXEC, permissions)
            if result >= 0 {
                rawValue = result
                return
            }
            if errno != EINTR { throw Errno(rawValue: errno) }
        }
    }

    deinit { close(rawValue) }
}
