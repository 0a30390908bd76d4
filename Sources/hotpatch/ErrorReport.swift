extension Failure {
    /// The failure that an error of one of the rooms is for the user, or nil
    /// where the error is none of theirs.
    init?(of error: any Error) {
        return nil
    }
}
