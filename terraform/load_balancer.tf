# One address for people and clients, at a domain of one's own: only there with var.domain.
locals {
  # Which backend answers a path; a prefix covers itself and what lies below it, the longest one decides. The table of
  # tally/routes.py, which a test compares, but for `pages`: what people open in a browser. query serves them, behind
  # a sign-in of their own where there is one.
  routes = {
    "/api/usage"         = "query"
    "/api/usage-log"     = "ingest"
    "/api/v1"            = "query"
    "/api/v1/events"     = "ingest"
    "/docs"              = "pages"
    "/health"            = "query"
    "/openapi.json"      = "query"
    "/v1"                = "query"
    "/v1/audit-log"      = "admin"
    "/v1/budgets"        = "admin"
    "/v1/events"         = "ingest"
    "/v1/exchange-rates" = "admin"
    "/v1/litellm"        = "ingest"
    "/v1/prices"         = "admin"
    "/v1/traces"         = "ingest"
  }

  # Backend → the service behind it. record is behind none.
  backends = var.domain == null ? {} : {
    admin  = module.admin.name
    ingest = module.ingest.name
    pages  = module.query.name
    query  = module.query.name
  }

  # By name, not by id: a plan shows which path goes where.
  backend_links = {
    for key, backend in google_compute_backend_service.backend :
    key => "projects/${var.project}/global/backendServices/${backend.name}"
  }

  load_balancer = var.domain == null ? 0 : 1
}

resource "google_compute_global_address" "public" {
  count = local.load_balancer

  name = "tally"

  depends_on = [google_project_service.api]
}

resource "google_compute_region_network_endpoint_group" "service" {
  for_each = var.serving_image == null ? {} : local.backends

  name                  = "tally-${each.key}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run { service = each.value }
}

resource "google_compute_backend_service" "backend" {
  for_each = local.backends

  name                  = "tally-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = google_compute_security_policy.public[0].id

  dynamic "backend" {
    for_each = var.serving_image == null ? [] : [google_compute_region_network_endpoint_group.service[each.key].id]
    content { group = backend.value }
  }

  # What the rules of the policy found, also those that only watch.
  log_config {
    enable      = true
    sample_rate = 1
  }

  dynamic "iap" {
    for_each = each.key == "pages" && length(var.iap_members) > 0 ? [true] : []
    content { enabled = true }
  }
}

resource "google_iap_web_backend_service_iam_member" "pages" {
  for_each = var.domain == null ? [] : toset(var.iap_members)

  web_backend_service = google_compute_backend_service.backend["pages"].name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}

resource "google_compute_url_map" "https" {
  count = local.load_balancer

  name = "tally"

  # Another host, or the bare address: nothing answers there but the way here.
  default_url_redirect {
    host_redirect  = var.domain
    https_redirect = true
    strip_query    = false
  }

  host_rule {
    hosts        = [var.domain]
    path_matcher = "tally"
  }

  path_matcher {
    name            = "tally"
    default_service = local.backend_links.pages # "/", and a 404 in Tally's words for what there is not

    dynamic "path_rule" {
      for_each = toset(values(local.routes))
      content {
        service = local.backend_links[path_rule.value]
        paths   = flatten([for prefix, backend in local.routes : [prefix, "${prefix}/*"] if backend == path_rule.value])
      }
    }
  }
}

resource "google_compute_url_map" "http" {
  count = local.load_balancer

  name = "tally-http"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "PERMANENT_REDIRECT" # 308: a POST stays one
    strip_query            = false
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_managed_ssl_certificate" "public" {
  count = local.load_balancer

  # Another domain is another certificate, made before the old one goes.
  name = "tally-${substr(sha256(var.domain), 0, 8)}"

  managed { domains = [var.domain] }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_ssl_policy" "public" {
  count = local.load_balancer

  name            = "tally"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.api]
}

resource "google_compute_target_https_proxy" "public" {
  count = local.load_balancer

  name             = "tally"
  url_map          = google_compute_url_map.https[0].id
  ssl_certificates = [google_compute_managed_ssl_certificate.public[0].id]
  ssl_policy       = google_compute_ssl_policy.public[0].id
}

resource "google_compute_target_http_proxy" "public" {
  count = local.load_balancer

  name    = "tally-http"
  url_map = google_compute_url_map.http[0].id
}

resource "google_compute_global_forwarding_rule" "public" {
  for_each = var.domain == null ? {} : {
    http  = { port = 80, target = google_compute_target_http_proxy.public[0].id }
    https = { port = 443, target = google_compute_target_https_proxy.public[0].id }
  }

  name                  = "tally-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.public[0].id
  port_range            = each.value.port
  target                = each.value.target
}

# Cloud Armor. A flood is turned away before it costs an instance.
resource "google_compute_security_policy" "public" {
  #checkov:skip=CKV_GCP_73:Python has no Log4j; and a client meters what attackers sent it, so an event may quote that
  count = local.load_balancer

  name = "tally"

  advanced_options_config {
    json_parsing = "STANDARD" # else the quotes and braces of every event look like an injection
  }

  # Attacks that anybody knows. Events quote what others sent: a metered route may well be /../../etc/passwd. So the
  # rules watch; their finds are in the load balancer's log. armor.enforce lets them refuse, once that has been read.
  dynamic "rule" {
    for_each = {
      cve-canary      = 1000
      lfi-v33-stable  = 1100
      rce-v33-stable  = 1200
      sqli-v33-stable = 1300
      xss-v33-stable  = 1400
    }
    content {
      description = "Looks like ${rule.key}"
      priority    = rule.value
      action      = "deny(403)"
      preview     = !var.armor.enforce

      match {
        expr { expression = "evaluatePreconfiguredWaf('${rule.key}', {'sensitivity': 1})" }
      }
    }
  }

  # Last, since it lets in what it does not turn away.
  rule {
    description = "What one address may ask for in a minute"
    priority    = 9000
    action      = "throttle"

    match {
      versioned_expr = "SRC_IPS_V1"
      config { src_ip_ranges = ["*"] }
    }

    rate_limit_options {
      enforce_on_key = "IP" # not the token: who has none could make up a new one each time
      conform_action = "allow"
      exceed_action  = "deny(429)"
      rate_limit_threshold {
        count        = var.armor.requests_per_minute
        interval_sec = 60
      }
    }
  }

  # A policy has to end with one; nothing gets so far.
  rule {
    description = "All others"
    priority    = 2147483647
    action      = "allow"

    match {
      versioned_expr = "SRC_IPS_V1"
      config { src_ip_ranges = ["*"] }
    }
  }

  depends_on = [google_project_service.api]
}
