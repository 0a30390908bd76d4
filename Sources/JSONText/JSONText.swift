// (empty room)
