"use strict";
SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#routes",
  validatorUrl: null,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: -1,
});
