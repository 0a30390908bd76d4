import ArgumentParser
import HotpatchKit

@main struct Hotpatch: ParsableCommand {}
