"""Browsers that lack something: what the oldest supported ones do not have, and what some have switched off.

Each script runs before the page's own, in the page itself and in its frames.
"""

LATER = """
AbortSignal: abort any reason throwIfAborted timeout
Array: at findLast findLastIndex fromAsync toReversed toSorted toSpliced with
ArrayBuffer: detached maxByteLength resizable resize transfer transferToFixedLength
Blob: bytes textStream
Clipboard: read readText write
Crypto: randomUUID
Document: adoptedStyleSheets exitFullscreen fullscreenElement fullscreenEnabled hasStorageAccess moveBefore parseHTML
  parseHTMLUnsafe prerendering requestStorageAccess startViewTransition wasDiscarded
Element: checkVisibility computedStyleMap getHTML moveBefore requestFullscreen role setHTML setHTMLUnsafe
Error: captureStackTrace isError
EventTarget: when
HTMLButtonElement: command commandForElement popoverTargetAction popoverTargetElement
HTMLDetailsElement: name
HTMLDialogElement: close closedBy open requestClose returnValue show showModal
HTMLElement: attachInternals autocapitalize hidePopover inert popover showPopover togglePopover
HTMLFormElement: relList requestSubmit
HTMLIFrameElement: credentialless csp loading
HTMLInputElement: showPicker
HTMLLinkElement: blocking fetchPriority
HTMLScriptElement: supports
Headers: getSetCookie
Intl: DurationFormat Segmenter supportedValuesOf
Iterator: drop every filter find flatMap forEach from map reduce some take toArray
Map: getOrInsert groupBy
Navigator: connection locks permissions scheduling share storage userActivation
Object: groupBy hasOwn
Performance: eventCounts memory
Promise: try withResolvers
RegExp: escape hasIndices unicodeSets
Request: body bytes duplex keepalive
Response: bytes json textStream
Set: difference intersection isDisjointFrom isSubsetOf isSupersetOf symmetricDifference union
String: at isWellFormed toWellFormed
URL: canParse parse
URLSearchParams: size
Window: AsyncDisposableStack Atomics BroadcastChannel CloseWatcher DisposableStack Float16Array Highlight Iterator
  NavigateEvent Navigation Observable Origin PageRevealEvent QuotaExceededError Temporal ToggleEvent URLPattern
  cancelIdleCallback crossOriginIsolated navigation originAgentCluster reportError requestIdleCallback scheduler
  structuredClone trustedTypes visualViewport
"""
"""What at least one of Safari 15.0, Chromium 89 and Firefox 90 has not, by its owner, as far as pages may use it.

Source: MDN's browser-compat-data 8.1.9 (CC0): every global, static and member whose `version_added` is later.
"""
REMOVE = """(later) => {
    for (const [owner, names] of later) {
        const own = owner === 'Window' ? [globalThis] : [globalThis[owner], globalThis[owner]?.prototype];
        for (const place of own.filter(Boolean)) for (const name of names) delete place[name];
    }
}"""


def without_what_came_later() -> str:
    """A script that takes away what the oldest browsers lack."""
    later: list[tuple[str, list[str]]] = []
    for line in LATER.strip().splitlines():
        owner, colon, names = line.rpartition(":")
        if colon:
            later.append((owner, names.split()))
        else:
            later[-1][1].extend(names.split())
    return f"({REMOVE})({[[owner, names] for owner, names in later]!r})"


DENIED = "throw new DOMException('denied', 'SecurityError');"
NO_STORAGE = f"""for (const name of ['localStorage', 'sessionStorage', 'indexedDB', 'caches', 'cookieStore']) {{
    Object.defineProperty(globalThis, name, {{ get() {{ {DENIED} }} }});
}}"""
"""As frames of other sites have it where the browser is told to block their data."""
NO_ROOM = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"
NULL_STORAGE = "Object.defineProperty(globalThis, 'sessionStorage', { get: () => null });"
NO_LANGUAGES = "delete Navigator.prototype.languages;"
NO_LOCKS = "delete Navigator.prototype.locks;"
NO_RIGHT_TO_LOCKS = f"if (globalThis.LockManager) LockManager.prototype.request = async () => {{ {DENIED} }};"
NO_RIGHT_TO_SOCKETS = f"globalThis.WebSocket = class {{ constructor() {{ {DENIED} }} }};"
NO_ZONE = """Intl.DateTimeFormat.prototype.resolvedOptions = ((asked) => function () {
    return { ...asked.call(this), timeZone: undefined };
})(Intl.DateTimeFormat.prototype.resolvedOptions);"""
LACKING = {
    "an old browser": [without_what_came_later(), NO_LANGUAGES, NO_ZONE],
    "a frame of another site": [NO_STORAGE, NO_RIGHT_TO_LOCKS],
    "a web view": [NULL_STORAGE, NO_LOCKS],
    "a full one behind a strict policy": [NO_ROOM, NO_RIGHT_TO_SOCKETS],
}
"""Browsers that lack several things at once, and the scripts that make them so."""
