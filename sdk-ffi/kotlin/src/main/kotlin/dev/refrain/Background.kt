package dev.refrain

import android.app.Activity
import android.app.Application
import android.app.Application.ActivityLifecycleCallbacks
import android.content.Context
import android.os.Bundle

/** Tells whenever the app has gone to the background, or has come back. */
internal class Background
private constructor(private val app: Application, private val onChange: (inBackground: Boolean) -> Unit) :
    ActivityLifecycleCallbacks,
    AutoCloseable {
    /** Only the main thread counts. Activities that were there before the client are missing: rather once too often. */
    private var started = 0
    private var inBackground = false

    override fun onActivityStarted(activity: Activity) {
        started++
        if (inBackground) change(false)
    }

    override fun onActivityStopped(activity: Activity) {
        started = maxOf(0, started - 1)
        // One that is made anew, because the screen was turned, is back at once.
        if (started == 0 && !activity.isChangingConfigurations) change(true)
    }

    private fun change(inBackground: Boolean) {
        this.inBackground = inBackground
        onChange(inBackground)
    }

    override fun onActivityCreated(activity: Activity, state: Bundle?): Unit = Unit

    override fun onActivityResumed(activity: Activity): Unit = Unit

    override fun onActivityPaused(activity: Activity): Unit = Unit

    override fun onActivitySaveInstanceState(activity: Activity, state: Bundle): Unit = Unit

    override fun onActivityDestroyed(activity: Activity): Unit = Unit

    override fun close() {
        app.unregisterActivityLifecycleCallbacks(this)
    }

    companion object {
        /** `null` where the context belongs to no app yet. */
        fun watch(context: Context, onChange: (inBackground: Boolean) -> Unit): Background? {
            val app = context as? Application ?: context.applicationContext as? Application ?: return null
            return Background(app, onChange).also { app.registerActivityLifecycleCallbacks(it) }
        }
    }
}
