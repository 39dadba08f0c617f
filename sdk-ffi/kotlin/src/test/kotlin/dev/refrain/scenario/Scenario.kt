package dev.refrain.scenario

import java.io.File
import kotlinx.serialization.json.Json

private const val HOST = "kotlin"
private val HOSTS = setOf("native", "browser", "node", "python", "kotlin", "swift")

/** A file of `tests/scenarios`. */
internal class Scenario(file: File) {
    private val members = said(Json.parseToJsonElement(file.readText())).asObject()
    private val steps: List<Map<String, Any?>>
    private val failsAt: List<Long>

    /** Why it is not played here; `null` if it is. */
    val notHere: String?

    init {
        val unknown = members.keys - setOf("name", "rules", "not_on", "fails_at", "steps")
        check(unknown.isEmpty()) { "$unknown is not known" }
        check((members["name"] as String).isNotEmpty()) { "it has no name" }
        val rules = members["rules"] as List<*>
        check((1..15).map { "C$it" }.containsAll(rules)) { "there are no such rules: $rules" }
        val notOn = members.getOrDefault("not_on", emptyMap<String, Any?>()).asObject()
        check(HOSTS.containsAll(notOn.keys)) { "there are no such hosts: ${notOn.keys}" }
        notHere = notOn[HOST] as String?
        steps = (members["steps"] as List<*>).map { it.asObject() }
        failsAt = (members.getOrDefault("fails_at", emptyList<Any?>()) as List<*>).map { it as Long }
        check(failsAt.all { it in steps.indices }) { "there are no such steps: $failsAt" }
    }

    /** Plays it, in a folder for its devices. */
    fun play(folder: File) {
        World(folder, apart()).use { world ->
            for ((at, step) in steps.withIndex()) {
                val failure = runCatching { world.play(step) }.exceptionOrNull()
                val mustFail = at.toLong() in failsAt
                if (mustFail && failure == null) throw AssertionError("step $at must fail, and did not: $step")
                if (!mustFail && failure != null) throw AssertionError("step $at: $step: $failure", failure)
            }
        }
    }

    /** The clients that are killed, and those that share their device: each needs a process of its own. */
    private fun apart(): Set<Any?> {
        val on = { step: Map<String, Any?> -> step.getOrDefault("on", "first") }
        val killed = steps.filter { it["stop"] == "kill" }.map(on)
        val devices = HashMap<Any?, Any?>()
        for (step in steps) if ("start" in step) devices.putIfAbsent(on(step), step.getOrDefault("device", "device"))
        val sharing = devices.filterValues { device -> devices.values.count { it == device } > 1 }.keys
        return killed.toSet() + sharing
    }
}
