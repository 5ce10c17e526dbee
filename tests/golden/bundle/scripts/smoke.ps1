# Is it up, is it the tuned model, does it answer? Exit code 0: yes. smoke.json is one picture as the API wants it.
$ErrorActionPreference = "Stop"
Set-Location $PSScriptRoot
$set = @{}
Get-Content .env | Where-Object { $_ -match "^[A-Z_]+=" } | ForEach-Object { $key, $value = $_ -split "=", 2; $set[$key] = $value }
$name = if ($set.LISTEN -eq "0.0.0.0") { "127.0.0.1" } else { $set.LISTEN }
try {
    $null = Invoke-WebRequest -UseBasicParsing "http://${name}:$($set.VLM_PORT)/health"
    $served = (Invoke-RestMethod "http://${name}:$($set.VLM_PORT)/v1/models").data.id
    if ($served -notcontains "PaddleOCR-VL-0.9B") { throw "port $($set.VLM_PORT) serves $served, not PaddleOCR-VL-0.9B" }
    $body = Get-Content -Raw smoke.json
    $answer = Invoke-RestMethod -Method Post -ContentType "application/json" -Body $body "http://${name}:$($set.API_PORT)/layout-parsing"
    if ($answer.errorCode -ne 0) { throw "the API answers with an error: $($answer.errorMsg)" }
} catch {
    Write-Host "error: $_"
    Write-Host "hint: docker compose ps; docker compose logs --tail 50"
    exit 3
}
Write-Host "served: PaddleOCR-VL-0.9B; one picture was read"
