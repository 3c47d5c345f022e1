"use strict";
// Redoc over the document that the bar has read.
window.showDocument = (text) => {
  const page = document.getElementById("page");
  page.replaceChildren();
  window.Redoc.init(text, { hideDownloadButton: true, nativeScrollbars: true, disableSearch: false, scrollYOffset: "#bar" }, page);
};
