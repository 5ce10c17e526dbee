# The images on a machine without a network. There: .\images.ps1 load. Where there is one, before: .\images.ps1 save
param([ValidateSet("save", "load")] [string] $Action = $(throw "usage: .\images.ps1 save|load"))
$ErrorActionPreference = "Stop"
Set-Location $PSScriptRoot
if ($Action -eq "save") {
    docker compose pull
    if ($LASTEXITCODE) { exit 3 }
    $images = docker compose config --images | Sort-Object -Unique
    docker save -o images.tar.part $images
    if ($LASTEXITCODE) { exit 3 }
    Move-Item -Force images.tar.part images.tar
    Write-Host "images.tar is written; take this whole folder to the other machine and run: .\images.ps1 load"
} else {
    if (-not (Test-Path images.tar)) { throw "images.tar is not here; '.\images.ps1 save' writes it" }
    docker load -i images.tar
    if ($LASTEXITCODE) { exit 3 }
}
