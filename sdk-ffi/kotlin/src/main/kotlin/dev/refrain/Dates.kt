package dev.refrain

import java.time.Instant
import java.time.LocalDate
import java.time.LocalDateTime
import java.time.OffsetDateTime
import java.time.ZoneOffset
import java.time.ZonedDateTime
import java.util.Date

// Dates in the wire's text form.

private const val SECONDS_A_DAY = 86_400L

/** Appends a time, in seconds since 1970, as UTC. By hand: what Android has had from its first version is slow. */
internal fun StringBuilder.appendUtc(seconds: Long) {
    val second = seconds.mod(SECONDS_A_DAY).toInt()
    appendDay(seconds.floorDiv(SECONDS_A_DAY))
    append('T').appendTwo(second / 3600)
    append(':').appendTwo(second / 60 % 60)
    append(':').appendTwo(second % 60)
}

/** Appends a day, counted from 1970, as a date: years begin in March here, so that a leap day ends one. */
internal fun StringBuilder.appendDay(day: Long) {
    val sinceMarch0 = day + 719_468
    val era = sinceMarch0.floorDiv(146_097L)
    val dayOfEra = sinceMarch0.mod(146_097L)
    val yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    val dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    val month = (5 * dayOfYear + 2) / 153
    val year = era * 400 + yearOfEra + if (month < 10) 0 else 1
    if (year !in 1..9999) throw Fault
    append(year.toString().padStart(4, '0'))
    append('-').appendTwo((if (month < 10) month + 3 else month - 9).toInt())
    append('-').appendTwo((dayOfYear - (153 * month + 2) / 5 + 1).toInt())
}

private fun StringBuilder.appendTwo(number: Int) {
    append('0' + number / 10).append('0' + number % 10)
}

/** Android has it since 8.0. */
internal val hasJavaTime: Boolean =
    try {
        Class.forName("java.time.ZonedDateTime") != null
    } catch (_: ClassNotFoundException) {
        false
    }

/** Whether it is one of those that have a form here. */
internal fun isDate(value: Any?): Boolean = value is Date || hasJavaTime && JavaTime.isOne(value)

/** Apart, because it cannot be loaded where there is no `java.time`. */
internal object JavaTime {
    fun isOne(value: Any?): Boolean =
        value is Instant ||
            value is ZonedDateTime ||
            value is OffsetDateTime ||
            value is LocalDateTime ||
            value is LocalDate

    /** Appends a date or a time with one; `false` if it is none. */
    fun append(out: StringBuilder, value: Any): Boolean {
        when (value) {
            is Instant -> out.appendUtc(value.epochSecond)
            is ZonedDateTime -> out.appendUtc(value.toEpochSecond())
            is OffsetDateTime -> out.appendUtc(value.toEpochSecond())
            is LocalDateTime -> out.appendUtc(value.toEpochSecond(ZoneOffset.UTC))
            is LocalDate -> out.appendDay(value.toEpochDay())
            else -> return false
        }
        return true
    }
}
