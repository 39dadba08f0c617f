package dev.refrain

import dev.refrain.ffi.Audit as FfiAudit
import dev.refrain.ffi.Config
import dev.refrain.ffi.Consent as FfiConsent
import dev.refrain.ffi.ConsentException as FfiConsentException
import dev.refrain.ffi.DefaultConsent as FfiDefaultConsent
import dev.refrain.ffi.IdMerge as FfiIdMerge
import dev.refrain.ffi.Outcome as FfiOutcome
import dev.refrain.ffi.PersonalDataMode as FfiPersonalDataMode
import dev.refrain.ffi.Signals as FfiSignals
import dev.refrain.ffi.Stats as FfiStats
import kotlin.time.Duration
import kotlin.time.DurationUnit

// Between the package's own types and the generated ones.

internal fun Settings.toConfig(token: String): Config =
    Config(
        token = setting("token", token),
        endpoint = endpoint?.let { setting("endpoint", it) },
        dataDir = dataDir?.let { setting("dataDir", it.path) },
        defaultConsent = FfiDefaultConsent.valueOf(given("defaultConsent", defaultConsent).name),
        honorGpc = honorGpc,
        honorDnt = honorDnt,
        flushInterval = flushInterval?.let { seconds("flushInterval", it) },
        batchSize = batchSize?.let { counted("batchSize", it.toLong()).toUInt() },
        queueLimitBytes = queueLimitBytes?.let { counted("queueLimitBytes", it).toULong() },
        queueLimitAge = queueLimitAge?.let { seconds("queueLimitAge", it) },
        idMerge = FfiIdMerge.valueOf(given("idMerge", idMerge).name),
        automaticProperties = properties("automaticProperties", automaticProperties),
        denyList = given("denyList", denyList).map { setting("denyList", it) },
        library = "refrain-kotlin",
        personalData = FfiPersonalDataMode.valueOf(given("personalData", personalData).name),
        personalDataAllow = given("personalDataAllow", personalDataAllow).map { setting("personalDataAllow", it) },
        signals = given("signals", signals).let { FfiSignals(it.gpc, it.dnt, it.host) },
    )

/** Java may pass none. */
internal fun <T : Any> given(name: String, value: T?): T = value ?: throw ConfigException("$name must not be null")

private fun setting(name: String, value: String?): String {
    val text = given(name, value)
    if (utf8Length(text) < 0) throw ConfigException("$name holds half of a surrogate pair")
    return text
}

private fun properties(name: String, value: Map<String, Any?>?): String =
    try {
        StringBuilder().apply { appendJson(given(name, value), name) }.toString()
    } catch (error: Unusable) {
        // What is too large is not said of a place.
        throw ConfigException(if (name in error.hint) error.hint else "$name: ${error.hint}")
    }

private fun seconds(name: String, value: Duration): Double {
    if (value.isNegative() || value.isInfinite()) throw ConfigException("$name must be finite and not negative: $value")
    return value.toDouble(DurationUnit.SECONDS)
}

private fun counted(name: String, value: Long): Long {
    if (value < 0) throw ConfigException("$name must be 0 or more, not $value")
    return value
}

/** The core names settings as Rust does. */
internal fun inKotlinsWords(reason: String): String =
    SETTINGS.fold(reason) { text, name -> text.replace(Regex("\\b${snake(name)}\\b"), name) }

private val SETTINGS =
    listOf("dataDir", "defaultConsent", "honorGpc", "honorDnt", "flushInterval", "batchSize", "queueLimitBytes") +
        listOf("queueLimitAge", "idMerge", "automaticProperties", "denyList", "personalData", "personalDataAllow")

private fun snake(name: String) = name.replace(Regex("[A-Z]")) { "_" + it.value.lowercase() }

internal fun FfiOutcome.toOutcome(): Outcome =
    when (this) {
        is FfiOutcome.Accepted -> Outcome.Accepted
        is FfiOutcome.Held -> Outcome.Held
        is FfiOutcome.Rejected -> Outcome.Rejected(reason, hint)
    }

internal fun FfiConsentException.toConsentException(): ConsentException =
    when (this) {
        is FfiConsentException.NotRecorded -> ConsentException(ConsentException.Code.NOT_RECORDED, reason)
        is FfiConsentException.Overruled -> ConsentException(ConsentException.Code.OVERRULED, reason)
        is FfiConsentException.NotFenced -> ConsentException(ConsentException.Code.NOT_FENCED, reason)
        is FfiConsentException.NotPurged -> ConsentException(ConsentException.Code.NOT_PURGED, reason)
    }

internal fun FfiConsent.toConsent(): Consent =
    Consent(
        decision = Decision.entries.first { it.name.equals(decision, ignoreCase = true) },
        verdict = Verdict.entries.first { it.name.equals(verdict, ignoreCase = true) },
        reason = reason,
        sentence = sentence,
    )

internal fun FfiStats.toStats(): Stats =
    Stats(
        tracked = tracked.toLong(),
        recovered = recovered.toLong(),
        adopted = adopted.toLong(),
        delivered = delivered.toLong(),
        queued = queued.toLong(),
        held = held.toLong(),
        dropped = dropped.mapValues { it.value.toLong() },
        givenUp = givenUp.toLong(),
        queuedBytes = queuedBytes.toLong(),
        damaged = damaged.toLong(),
        wiped = wiped.toLong(),
        rejected = rejected.toLong(),
        personalData = personalData.mapValues { it.value.toLong() },
    )

internal fun FfiAudit.toAudit(): Audit =
    Audit(
        files = files.map { AuditedFile(it.name, it.kind, it.bytes.toLong()) },
        deviceId = deviceId,
        distinctId = distinctId,
        superProperties = superProperties,
        timers = timers.toLong(),
        queuedRecords = queuedRecords.toLong(),
        queuedBytes = queuedBytes.toLong(),
        heldRecords = heldRecords.toLong(),
        requestsInFlight = requestsInFlight.toLong(),
        nextActionIn = nextActionIn,
        outbox = outbox.map { AuditedErasure(it.id, it.kind, it.deviceId, it.state, it.answer) },
    )
