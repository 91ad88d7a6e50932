"""What CCProxy's page on health checks tells people to do, word for word.

Deployments copy these lines, so they must work as they are. Where a program needs more around
them, a test puts it around them; only the port becomes the one of the server under test.
"""

PORT = "3456"


def here(text, port):
    """A text of it for the server on `port`."""
    return text.replace(PORT, str(port))


# Both the Docker health check and whoever tries it by hand.
WGET = "wget --no-verbose --tries=1 --spider http://localhost:3456/health || exit 1"
CURL = "curl -f http://localhost:3456/health"
# What its `watch -n 5` runs.
WATCHED = "curl -s http://localhost:3456/health | jq"

KUBERNETES = """\
livenessProbe:
  httpGet:
    path: /health
    port: 3456
  initialDelaySeconds: 30
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /health
    port: 3456
  initialDelaySeconds: 5
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
"""

# Of prometheus.yml; a complete file has `scrape_configs:` before it.
PROMETHEUS = """\
- job_name: 'ccproxy'
  static_configs:
    - targets: ['localhost:3456']
  metrics_path: /health
  scrape_interval: 30s
"""

# Of a file of Prometheus' rules; a complete one has a group around it.
ALERT = """\
- alert: CCProxyDown
  expr: up{job="ccproxy"} == 0
  for: 1m
  labels:
    severity: critical
  annotations:
    summary: "CCProxy service is down"
    description: "CCProxy has been down for more than 1 minute"
"""

NGINX = """\
upstream ccproxy {
    server localhost:3456;
}

server {
    location / {
        proxy_pass http://ccproxy;
        
        # Health check
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
    }
    
    location /health {
        proxy_pass http://ccproxy/health;
        access_log off;
    }
}
"""

TRAEFIK = """\
http:
  services:
    ccproxy:
      loadBalancer:
        servers:
          - url: "http://localhost:3456"
        healthCheck:
          path: /health
          interval: 30s
          timeout: 10s
"""
