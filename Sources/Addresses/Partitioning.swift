extension Array {
    /// The number of elements at the front that `isBefore` holds for, where it holds for
    /// none behind them.
    @inlinable
    public func partitioningIndex(where isBefore: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
