"use strict";
// Swagger UI over the document that the bar has read; nothing leaves this origin.
window.showDocument = (text, credential) => {
  window.SwaggerUIBundle({
    spec: text,
    dom_id: "#page",
    deepLinking: true,
    validatorUrl: null,
    persistAuthorization: false,
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    requestInterceptor: (request) => {
      for (const [name, value] of Object.entries(credential.fields)) if (!request.headers[name]) request.headers[name] = value;
      return request;
    },
  });
};
