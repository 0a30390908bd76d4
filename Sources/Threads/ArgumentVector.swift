import Glibc

/// Calls `body` with the words as execve(2) takes them: an array of C strings that ends
/// with a null pointer, valid until `body` returns.
@unsafe
package func withArgumentVector<Result>(
    _ words: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var vector = unsafe words.map { unsafe strdup($0) }
    unsafe vector.append(nil)
    defer { unsafe vector.forEach { unsafe free($0) } }
    return unsafe body(vector)
}
