"use strict";
// Redoc over the document that the bar has read. Its bundle is a module from version 3 on. Without workers its search
// makes no code from text, which this page's policy would not let it.
window.Worker = undefined;
const bundle = import(new URL("redoc-bundle.js", document.currentScript.src).href);
window.showDocument = async (text) => {
  const start = (await bundle).init || window.Redoc.init;
  const page = document.getElementById("page");
  page.replaceChildren();
  start(text, { hideDownloadButton: true, nativeScrollbars: true, disableTelemetry: true, scrollYOffset: "#bar" }, page);
};
