// A scenario's client, in a process of its own: does what each line of its input asks, and prints what came of it.

import Foundation

let player = Player()
while let line = readLine() {
    FileHandle.standardOutput.write(try await player.answer(to: line))
}
